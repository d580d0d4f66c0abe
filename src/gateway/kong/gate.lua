-- Runs for every request that no other plugin has answered. Decides by the API key alone who is
-- asking, and turns keys that no service understands into short internal JWTs. Before this text
-- stand ROLES (a role for each key), JWTS (a JWT for each role) and ROWS (the table, by the names of
-- the routes). Whatever is in none of them is refused, and an error is Kong's answer 500.
--
-- It all runs anew each time, and is no function that is returned once: Kong would call the text
-- instead of that function for ever, should the first run of the text fail.
-- https://github.com/Kong/kong/blob/3.9.1/kong/plugins/pre-function/_handler.lua

local FORWARDED = {
  ["x-forwarded-host"] = "upstream_x_forwarded_host",
  ["x-forwarded-port"] = "upstream_x_forwarded_port",
  ["x-forwarded-prefix"] = "upstream_x_forwarded_prefix",
  ["x-forwarded-proto"] = "upstream_x_forwarded_proto",
}

-- What basic-auth tells the service, and Studio takes Authorization for a token of its own.
local OF_BASIC_AUTH = {
  "authorization",
  "proxy-authorization",
  "x-anonymous-consumer",
  "x-consumer-custom-id",
  "x-consumer-id",
  "x-consumer-username",
  "x-credential-identifier",
}

-- kong.response.exit does not return. Should it ever, Kong answers 500.
local function exit(status, body, content_type)
  kong.response.exit(status, body, {["Content-Type"] = content_type})
  error("answered")
end

local function refuse(status, message)
  exit(status, '{"message":"' .. message .. '"}', "application/json")
end

local function unready()
  refuse(503, "API keys are not ready")
end

-- Repeated headers are one value, which is never a key.
local function value_of(headers, name)
  local value = headers[name]
  if type(value) == "table" then return table.concat(value, ",") end
  return value
end

local function role_of(key)
  if key == nil or key == "" then return nil end
  return ROLES[key]
end

-- The internal JWT of a role; nil while there is none.
local function jwt_of(role)
  if role == nil then return nil end
  return JWTS[role]
end

-- The query with every apikey parameter removed, or with one that carries `jwt`.
local function with_query_key(query, jwt)
  local kept, placed = {}, false
  for pair in query:gmatch("[^&]+") do
    if pair ~= "apikey" and pair:sub(1, 7) ~= "apikey=" then
      kept[#kept + 1] = pair
    elseif jwt ~= nil and not placed then
      kept[#kept + 1] = "apikey=" .. jwt
      placed = true
    end
  end
  return table.concat(kept, "&")
end

local function set_query(query, changed)
  if changed ~= query then kong.service.request.set_raw_query(changed) end
end

-- Functions verify by themselves, so an unknown JWT or no key at all passes. A key in our own
-- format is ours to judge: it must be known, and two of them must agree.
local function translate_functions(key, role, bearer)
  local judged = role
  if is_opaque(key) and role == nil then refuse(401, "Invalid API key") end
  if is_opaque(bearer) then
    local other = role_of(bearer)
    if other == nil or (role ~= nil and role ~= other) then refuse(401, "Invalid API key") end
    judged = other
  end
  local jwt = jwt_of(judged)
  if jwt ~= nil then
    kong.service.request.set_header("sb-api-key", jwt)
  elseif is_opaque(key) or is_opaque(bearer) then
    unready()
  end
end

-- A user's own token stays; an absent or opaque one gives way to the key's JWT.
local function translate_jwt(key, role, authorization, bearer)
  if role == nil then return end
  if authorization ~= nil and not is_opaque(bearer) then return end
  local jwt = key
  if is_opaque(key) then jwt = jwt_of(role) end
  if jwt == nil then unready() end
  kong.service.request.set_header("authorization", "Bearer " .. jwt)
end

-- Realtime reads x-api-key before its query, so both carry the same token.
local function translate_realtime(key, role, query)
  local jwt = key
  if is_opaque(key) then jwt = jwt_of(role) end
  if role == nil or jwt == nil then unready() end
  kong.service.request.set_header("x-api-key", jwt)
  set_query(query, with_query_key(query, jwt))
end

local function translate(mode, key, role, authorization, query)
  if authorization == "" then
    kong.service.request.clear_header("authorization")
    authorization = nil
  end
  local bearer = bearer_of(authorization)
  if mode == "functions" then return translate_functions(key, role, bearer) end
  translate_jwt(key, role, authorization, bearer)
  if mode == "realtime" then translate_realtime(key, role, query) end
end

local function judge(access, role)
  if access == "open" then return end
  if access == "dashboard" then
    -- basic-auth has let it pass.
    if kong.client.get_credential() == nil then refuse(401, "Unauthorized") end
    return
  end
  if role == nil then refuse(401, "No valid API key found in request") end
  if access ~= "key" and role ~= "service" then refuse(403, "You cannot consume this service") end
end

-- nginx has variables of its own for what it sends as these headers.
local function set_headers(row, host)
  ngx.var.upstream_x_forwarded_host = host
  for name, value in pairs(row.headers) do
    if FORWARDED[name] ~= nil then
      ngx.var[FORWARDED[name]] = value
    else
      kong.service.request.set_header(name, value)
    end
  end
  if row.host ~= nil then kong.service.request.set_header("host", row.host) end
end

local function set_path(row)
  local path = kong.request.get_path()
  if path:sub(1, #row.matched) ~= row.matched then refuse(403, "This path is not available") end
  if row.rewrite ~= nil then path = row.rewrite .. path:sub(#row.matched + 1) end
  kong.service.request.set_path(path)
end

local route = kong.router.get_route()
local row = route and ROWS[route.name]
if row == nil then refuse(403, "This path is not available") end
if row.ready then exit(200, "ready", "text/plain") end

local request = kong.service.request
local headers = kong.request.get_headers(1000)
local query = kong.request.get_raw_query()
local key = value_of(headers, "apikey")
if key == nil or key == "" then key = query_key(query) end
local role = role_of(key)
judge(row.access, role)

request.clear_header("sb-api-key")
-- Only Realtime gives this header a meaning; user functions may have one of their own.
if row.mode ~= "functions" then request.clear_header("x-api-key") end
if row.mode ~= "realtime" then set_query(query, with_query_key(query, nil)) end
if row.access == "dashboard" then
  for _, name in ipairs(OF_BASIC_AUTH) do request.clear_header(name) end
end
set_path(row)
set_headers(row, value_of(headers, "host"))
if row.mode ~= "none" then
  translate(row.mode, key, role, value_of(headers, "authorization"), query)
end
