module supabase-operator/tests/cluster/tools/image

go 1.26.0
