-- What Kong 3.9 gives to the programs of its serverless plugins, strictly: a function that is not
-- here, a wrong argument or a wrong phase is an error. Kong: kong/pdk, kong/tools/kong-lua-sandbox.lua,
-- kong/plugins/pre-function/_handler.lua.

local current

local function strict(name, members)
  return setmetatable({}, {
    __index = function(_, key)
      local member = members[key]
      if member == nil then error("there is no " .. name .. "." .. tostring(key)) end
      return member
    end,
    __newindex = function(_, key) error(name .. "." .. tostring(key) .. " cannot be set") end,
  })
end

local function phase(...)
  for _, allowed in ipairs({...}) do
    if current.phase == allowed then return end
  end
  error("not in the phase " .. current.phase)
end

local function text(value)
  if type(value) ~= "string" then error("a string is needed, not " .. type(value)) end
  return value
end

local request = strict("kong.request", {
  get_raw_path = function() return current.raw_path end,
  get_path = function() return current.path end,
  get_raw_query = function() return current.args or "" end,
  get_headers = function(most)
    assert(type(most) == "number" and most >= 1 and most <= 1000)
    local copy, count = {}, 0
    for name, value in pairs(current.headers) do
      count = count + 1
      if count > most then return copy, "truncated" end
      copy[name] = value
    end
    return copy
  end,
})

local service_request = strict("kong.service.request", {
  set_header = function(name, value)
    phase("access")
    name, value = text(name):lower(), text(value)
    if name == "host" then current.vars.upstream_host = value end
    current.headers[name] = value
  end,
  clear_header = function(name)
    phase("access")
    current.headers[text(name):lower()] = nil
  end,
  set_path = function(path)
    phase("access")
    assert(text(path):sub(1, 1) == "/", "path must start with /")
    current.upstream_path = path
  end,
  set_raw_query = function(query)
    phase("access")
    current.args = text(query)
  end,
})

local response = strict("kong.response", {
  exit = function(status, body, headers)
    phase("access")
    assert(type(status) == "number" and status >= 100 and status <= 599, "code must be a number")
    for name, value in pairs(headers or {}) do text(name) text(value) end
    current.exit = {status = status, body = text(body), headers = headers or {}}
    coroutine.yield()
  end,
  clear_header = function(name)
    phase("header_filter")
    current.response[text(name):lower()] = nil
  end,
})

local kong = strict("kong", {
  request = request,
  service = strict("kong.service", {request = service_request}),
  response = response,
  router = strict("kong.router", {get_route = function() return current.route end}),
  client = strict("kong.client", {get_credential = function() return current.credential end}),
})

local VARIABLES = {
  upstream_x_forwarded_host = true,
  upstream_x_forwarded_port = true,
  upstream_x_forwarded_prefix = true,
  upstream_x_forwarded_proto = true,
}

local ngx = strict("ngx", {var = setmetatable({}, {
  __newindex = function(_, name, value)
    if not VARIABLES[name] then error("ngx.var." .. name .. " is not writable") end
    current.vars[name] = text(value)
  end,
  __index = function(_, name) error("ngx.var." .. name .. " is not for reading") end,
})})

local SAFE = [[
  assert error ipairs next pairs pcall select tonumber tostring type unpack xpcall
  string.byte string.char string.find string.format string.gmatch string.gsub string.len string.lower
  string.match string.rep string.reverse string.sub string.upper
  table.concat table.insert table.maxn table.remove table.sort
  math.floor math.max math.min
]]

local function environment()
  local env = {kong = kong, ngx = ngx}
  for name in SAFE:gmatch("%S+") do
    local module, member = name:match("^(%a+)%.(%a+)$")
    if module then
      env[module] = env[module] or {}
      env[module][member] = _G[module][member]
    else
      env[name] = _G[name]
    end
  end
  return setmetatable(env, {
    __index = function(_, name) error("the sandbox has no " .. tostring(name)) end,
    __newindex = function(_, name) error(tostring(name) .. " would be a global") end,
  })
end

local M = {}

-- Kong takes a function that is returned for the program, but forgets it when the first run fails:
-- nothing runs from then on.
function M.compile(source)
  local chunk = assert(load(source, "plugin", "t", environment()))
  return function()
    local result = chunk()
    if type(result) == "function" then error("a returned function can be skipped") end
  end
end

-- An error in a plugin is Kong's own answer.
function M.run(handler, request_of_client)
  current = request_of_client
  local ok, problem = coroutine.resume(coroutine.create(handler))
  if not ok and current.phase == "access" then
    current.problem = tostring(problem)
    current.exit = {status = 500, body = '{"message":"An unexpected error occurred"}', headers = {}}
  elseif not ok then
    error(problem)
  end
end

return M
