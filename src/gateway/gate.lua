-- Runs for every request. Decides by the API key alone who is asking, and turns keys that no
-- service understands into short internal JWTs. It never lets a request in: the RBAC filter
-- behind it does, and only when the role set by the LAST statement here is the wanted one. An
-- error anywhere in this script therefore ends in a denial.

local function has(list, value)
  if list == nil then return false end
  for _, known in ipairs(list) do
    if known == value then return true end
  end
  return false
end

local function role_of(ctx, key)
  if key == nil or key == "" then return nil end
  if has(ctx:get("secret"), key) or has(ctx:get("service"), key) then return "service" end
  if has(ctx:get("publishable"), key) or has(ctx:get("anon"), key) then return "anon" end
  return nil
end

-- The internal JWT of a role; nil while there is none.
local function jwt_of(ctx, role)
  if role == nil then return nil end
  local jwt = ctx:get(role .. "_jwt")
  if jwt == nil or jwt == "" then return nil end
  return jwt
end

-- The path with every apikey parameter removed, or with one that carries `jwt`.
local function with_query_key(base, query, jwt)
  local pairs_kept, placed = {}, false
  for pair in query:gmatch("[^&]+") do
    if pair ~= "apikey" and pair:sub(1, 7) ~= "apikey=" then
      pairs_kept[#pairs_kept + 1] = pair
    elseif jwt ~= nil and not placed then
      pairs_kept[#pairs_kept + 1] = "apikey=" .. jwt
      placed = true
    end
  end
  if #pairs_kept == 0 then return base end
  return base .. "?" .. table.concat(pairs_kept, "&")
end

local function answer(h, status, body)
  h:respond({[":status"] = status, ["content-type"] = "application/json"}, body)
end

local function deny(h, status, message)
  answer(h, status, '{"message":"' .. message .. '"}')
  return false
end

local function unready(h)
  return deny(h, "503", "API keys are not ready")
end

-- Functions verify by themselves, so an unknown JWT or no key at all passes. A key in our own
-- format is ours to judge: it must be known, and two of them must agree.
local function translate_functions(h, hd, ctx, key, role, bearer)
  local judged = role
  if is_opaque(key) and role == nil then return deny(h, "401", "Invalid API key") end
  if is_opaque(bearer) then
    local other = role_of(ctx, bearer)
    if other == nil or (role ~= nil and role ~= other) then
      return deny(h, "401", "Invalid API key")
    end
    judged = other
  end
  local jwt = jwt_of(ctx, judged)
  if jwt ~= nil then
    hd:replace("sb-api-key", jwt)
  elseif is_opaque(key) or is_opaque(bearer) then
    return unready(h)
  end
  return true
end

-- A user's own token stays; an absent or opaque one gives way to the key's JWT.
local function translate_jwt(h, hd, ctx, key, role, bearer)
  if role == nil then return true end
  if hd:get("authorization") ~= nil and not is_opaque(bearer) then return true end
  local jwt = key
  if is_opaque(key) then jwt = jwt_of(ctx, role) end
  if jwt == nil then return unready(h) end
  hd:replace("authorization", "Bearer " .. jwt)
  return true
end

-- Realtime reads x-api-key before its query, so both carry the same token.
local function translate_realtime(h, hd, ctx, key, role, base, query)
  local jwt = key
  if is_opaque(key) then jwt = jwt_of(ctx, role) end
  if role == nil or jwt == nil then return unready(h) end
  hd:replace("x-api-key", jwt)
  if query ~= nil then hd:replace(":path", with_query_key(base, query, jwt)) end
  return true
end

function envoy_on_request(h)
  local hd, ctx, md = h:headers(), h:filterContext(), h:metadata()
  -- No route metadata means no routes were loaded: nothing may pass.
  local access = md:get("access") or "service"
  local mode = md:get("mode") or "none"

  -- A route without a service behind it.
  if md:get("status") ~= nil then
    answer(h, md:get("status"), md:get("body"))
    return
  end

  hd:remove("sb-api-key")
  -- Only Realtime gives this header a meaning; user functions may have one of their own.
  if mode ~= "functions" then hd:remove("x-api-key") end

  local path = hd:get(":path") or "/"
  local base, query = path:match("^([^?]*)%?(.*)$")
  local from_query = query and query_key(query)
  local key = hd:get("apikey")
  if key == nil or key == "" then key = from_query end
  local role = role_of(ctx, key)

  if access ~= "open" and role == nil then
    return deny(h, "401", "No valid API key found in request")
  end
  if access ~= "open" and access ~= "key" and role ~= "service" then
    return deny(h, "403", "You cannot consume this service")
  end

  if query ~= nil and mode ~= "realtime" then
    local stripped = with_query_key(base, query, nil)
    if #stripped ~= #path then hd:replace(":path", stripped) end
  end

  if mode ~= "none" then
    if hd:get("authorization") == "" then hd:remove("authorization") end
    local bearer = bearer_of(hd:get("authorization"))
    local passed
    if mode == "functions" then
      passed = translate_functions(h, hd, ctx, key, role, bearer)
    else
      passed = translate_jwt(h, hd, ctx, key, role, bearer)
      if passed and mode == "realtime" then
        passed = translate_realtime(h, hd, ctx, key, role, base, query)
      end
    end
    if not passed then return end
  end

  -- A read that an upstream dropped without an answer (its idle close met our request) is safe
  -- to repeat. Functions run user code, where a read may not be one.
  local method = hd:get(":method")
  if mode ~= "functions" and (method == "GET" or method == "HEAD") then
    hd:replace("x-envoy-retry-on", "reset")
  end

  h:streamInfo():dynamicMetadata():set("supabase.gateway", "role", role or "none")
end
