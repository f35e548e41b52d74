-- For the tests: remembers what each request on the WebSocket path brought (method, path, raw
-- query, headers), answers with x-jitsi-shard when the option `shard` is set, and tells what it
-- remembers at GET /test/requests.
local http_server = require "net.http.server"
local json = require "util.json"

module:depends "http"

local shard = module:get_option_string("shard")
local seen = require "util.array"()

local function remember(event)
	local request = event.request
	local headers = {}
	for name, value in pairs(request.headers) do headers[name] = value end
	seen[#seen + 1] = {
		method = request.method, path = request.url.path, query = request.url.query, headers = headers,
	}
	if shard then event.response.headers["x-jitsi-shard"] = shard end
end

-- These events come before those of the hosts, and without an answer the request goes on.
for _, method in ipairs { "GET", "HEAD" } do
	for _, path in ipairs { "/xmpp-websocket", "/xmpp-websocket/", "//xmpp-websocket" } do
		module:hook_object_event(http_server, method .. " " .. path, remember, 10)
	end
end

module:provides("http", {
	name = "test_echo", default_path = "/test/requests",
	route = { GET = function(event)
		event.response.headers.content_type = "application/json"
		return json.encode(seen)
	end },
})
