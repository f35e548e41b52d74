-- For the tests: something to answer at the paths of http.forward, in the place of Jitsi's own. Each
-- answer is JSON of what was asked (method, path, query, headers, body). With ?size=N a text of that
-- size, with ?status=N that status, with ?silent=1 nothing at all.
-- GET /test/http tells every request that came to this Prosody's HTTP server at any other path, as
-- {method, path, query, headers, body}, in order.
local http_server = require "net.http.server"
local formdecode = require "util.http".formdecode
local json = require "util.json"

module:depends "http"

local seen, known = require "util.array"(), setmetatable({}, { __mode = "k" })

local function told(request)
	local headers = {}
	for name, value in pairs(request.headers) do headers[name] = value end
	return {
		method = request.method, path = request.url.path, query = request.url.query, headers = headers,
		body = request.body or nil,
	}
end

-- A request is an event under several names, until one has an answer.
module:wrap_object_event(http_server._events, false, function(handlers, name, data)
	local request = type(data) == "table" and data.request
	if request and request.url and not known[request] and not request.url.path:find("^/test/") then
		known[request] = true
		seen[#seen + 1] = told(request)
	end
	return handlers(name, data)
end)

local function answer(event)
	local query = formdecode(event.request.url.query or "")
	query = type(query) == "table" and query or {}
	if query.silent then return true end
	if query.size then return ("x"):rep(tonumber(query.size)) end
	event.response.status_code = tonumber(query.status) or 200
	event.response.headers.content_type = "application/json"
	return event.response:send(json.encode(told(event.request)))
end

for name, path in pairs {
	api_room_info = "/_api/room-info", room_info = "/room-info", conference_request = "/conference-request",
	unlisted = "/unlisted",
} do
	module:provides("http", {
		name = "test_" .. name, default_path = path, cors = { enabled = true },
		route = { GET = answer, POST = answer, PUT = answer, DELETE = answer },
	})
end

module:provides("http", {
	name = "test_http", default_path = "/test/http",
	route = { GET = function(event)
		event.response.headers.content_type = "application/json"
		return json.encode(seen)
	end },
})
