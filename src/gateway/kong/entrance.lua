-- Runs before everything else. Kong routes by the path that its rules make of the request's; what
-- they leave ambiguous for the service behind, and what Kong itself cannot tell apart, stays out.

-- kong.response.exit does not return. Should it ever, Kong answers 500.
local function refuse(status, message)
  kong.response.exit(status, '{"message":"' .. message .. '"}', {["Content-Type"] = "application/json"})
  error("refused")
end

local path = kong.request.get_raw_path()
if path:sub(1, 1) ~= "/" or path:find("%%2[fF]") or path:find("%%5[cC]") or path:find("\\", 1, true) then
  refuse(400, "The path is not allowed")
end
local headers, truncated = kong.request.get_headers(1000)
if truncated then
  refuse(431, "Too many headers")
end
-- Kong takes a_b for a-b in places.
for name in pairs(headers) do
  if name:find("_", 1, true) then
    refuse(400, "Header names with underscores are not allowed")
  end
end
