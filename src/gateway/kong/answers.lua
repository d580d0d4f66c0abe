-- A service may be more generous to other origins than the gateway is.

local route = kong.router.get_route()
if route ~= nil and SAME_ORIGIN[route.name] then
  kong.response.clear_header("Access-Control-Allow-Origin")
  kong.response.clear_header("Access-Control-Allow-Credentials")
end
