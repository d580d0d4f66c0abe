/*
 * A PostgreSQL 15 library that does nothing. The struct is PostgreSQL's "magic block" (src/include/fmgr.h), which the
 * server compares before it loads a library: version, limits of the build, and who made it.
 */
struct magic { int length, version, arguments, index_keys, name_length, float8_by_value; char abi[32]; };

const struct magic *Pg_magic_func(void)
{
    static const struct magic block = {sizeof(struct magic), 1500, 100, 32, 64, 1, "PostgreSQL"};
    return &block;
}
