-- Login with SASL ANONYMOUS and a token in the URL (wire facts 2 to 4), in the place of Jitsi's
-- auth_token. A random JID for everyone, but `previd` gives the bare JID of the session it names.
local formdecode = require "util.http".formdecode
local uuid = require "util.uuid".generate
local tokens = module:require "meet_token"

module:hook_global("websocket-session", function(event)
	local session, request = event.session, event.request
	local query = request.url.query and formdecode(request.url.query) or {}
	local bearer = request.headers.authorization and request.headers.authorization:sub(8)
	session.auth_token = query.token or bearer
	session.previd = query.previd
end, 1)

local function username_of(previd)
	for _, session in pairs(prosody.full_sessions) do
		if session.resumption_token == previd then return session.username end
	end
end

local handler = {}
handler.__index = handler

function handler.mechanisms() return { ANONYMOUS = true } end
function handler:clean_clone() return setmetatable({ session = self.session }, handler) end

function handler:select(mechanism)
	if mechanism ~= "ANONYMOUS" then return nil end
	self.selected = mechanism
	return true
end

function handler:process()
	local ok, condition, text = tokens.authenticate(self.session)
	if not ok then
		module:log("warn", "token refused: %s", text)
		return "failure", condition, text
	end
	self.username = self.session.previd and username_of(self.session.previd) or uuid()
	return "success"
end

module:provides("auth", {
	get_sasl_handler = function(session) return setmetatable({ session = session }, handler) end,
	user_exists = function() return nil end,
	test_password = function() return nil, "tokens only" end,
	create_user = function() return nil, "tokens only" end,
})
