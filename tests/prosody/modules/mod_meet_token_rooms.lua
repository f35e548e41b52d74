-- On the room component: a token opens the room it names (wire fact 5), and nobody makes a room by
-- joining it but an administrator.
local jid = require "util.jid"
local st = require "util.stanza"
local is_admin = require "core.usermanager".is_admin

local domain = module:get_option_string("muc_mapper_domain_base")

local function matches(claims, name)
	local room = claims.room
	if type(room) ~= "string" then return false end
	room = room:lower()
	if room == "*" then return true end
	local context = type(claims.context) == "table" and claims.context or {}
	if type(context.room) == "table" and context.room.regex == true then
		local ok, found = pcall(string.match, name, room)
		return ok and found == name
	end
	return room == name
end

-- The room's node is "name" or, in a tenant, "[tenant]name".
local function covers(claims, node)
	local tenant, name = node:match("^%[([^%]]+)%](.+)$")
	if not matches(claims, name or node) then return false end
	local sub = tostring(claims.sub):lower()
	return sub == "*" or sub == (tenant or domain)
end

local function refuse(event, element, text)
	local reply = st.error_reply(event.stanza, "cancel", "not-allowed", text)
	if element then reply:tag(element, { xmlns = "http://jitsi.org/jitmeet" }) end
	event.origin.send(reply)
	return true
end

local function check(event, room_exists)
	if is_admin(jid.bare(event.stanza.attr.from), module.host) then return nil end
	if not room_exists then return refuse(event, "room-does-not-exist", "Room does not exist") end
	local claims = event.origin.meet_claims
	if claims and not covers(claims, jid.node(event.stanza.attr.to)) then
		return refuse(event, nil, "Room and token mismatched")
	end
end

module:hook("muc-room-pre-create", function(event) return check(event, false) end, 99)
module:hook("muc-occupant-pre-join", function(event) return check(event, true) end, 99)
