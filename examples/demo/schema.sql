-- The demo's table: everyone reads public notes, a signed-in user reads and writes
-- their own. Safe to run again.
set client_min_messages = warning;
begin;

create table if not exists public.notes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  body text not null,
  is_public boolean not null default false
);

alter table public.notes enable row level security;

grant usage on schema public to anon, authenticated, service_role;
grant select on public.notes to anon;
grant select, insert, update, delete on public.notes to authenticated, service_role;

-- The user is the token's `sub`. PostgREST puts the token's claims into this
-- setting; it is empty, not null, in a session that had one before.
drop policy if exists "public notes are for everyone" on public.notes;
create policy "public notes are for everyone" on public.notes
  for select to anon
  using (is_public);

drop policy if exists "own notes" on public.notes;
create policy "own notes" on public.notes
  for all to authenticated
  using (user_id = (nullif(current_setting('request.jwt.claims', true), '')::json->>'sub')::uuid)
  with check (user_id = (nullif(current_setting('request.jwt.claims', true), '')::json->>'sub')::uuid);

insert into public.notes (id, user_id, body, is_public) values
  ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'seed: for everyone', true),
  ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a', 'seed: private', false)
on conflict (id) do nothing;

commit;

-- PostgREST shows a new table only after it has read the schema again.
notify pgrst, 'reload schema';
