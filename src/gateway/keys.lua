-- How both gateways' gates read a key; stands before them.

local function is_opaque(value)
  return value ~= nil and value:sub(1, 3) == "sb_"
end

local function bearer_of(authorization)
  if authorization == nil then return nil end
  local scheme, token = authorization:match("^(%a+)%s+(.+)$")
  if scheme == nil or scheme:lower() ~= "bearer" then return nil end
  return token
end

local function query_key(query)
  for pair in query:gmatch("[^&]+") do
    local key = pair:match("^apikey=(.*)$")
    if key ~= nil then return key end
  end
  return nil
end

