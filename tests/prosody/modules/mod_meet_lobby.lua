-- On the room component: the lobby of members-only rooms, in the place of Jitsi's muc_lobby_rooms,
-- written from wire facts 6, 7, 12 to 19 and 30. A room that is made members-only gets a second room
-- on the lobby component, where who is no member waits for a moderator.
local filters = require "util.filters"
local jid = require "util.jid"
local json = require "util.json"
local st = require "util.stanza"

local lobby_host = module:get_option_string("lobby_muc")
local main_host = module:get_option_string("muc_mapper_domain_base")
local NS_MUC, NS_USER = "http://jabber.org/protocol/muc", "http://jabber.org/protocol/muc#user"
local NS_NICK, NS_JITSI = "http://jabber.org/protocol/nick", "http://jitsi.org/jitmeet"

module:depends "muc"

local function muc_of(host)
	local entry = prosody.hosts[host]
	return entry and entry.modules.muc
end

local function lobby_of(room)
	return room._data.lobbyroom and muc_of(lobby_host).get_room_from_jid(room._data.lobbyroom)
end

local function main_of(lobby_room)
	return muc_of(module.host).get_room_from_jid(lobby_room.main_room_jid)
end

local function is_member(room, address)
	local affiliation = room:get_affiliation(address)
	return affiliation and affiliation ~= "none" and affiliation ~= "outcast"
end

-- What clients are told besides the stanzas of XEP-0045.

local function notify(room, actor, event, value, name)
	local occupant = room:get_occupant_by_real_jid(actor)
	if not occupant then return end
	local text = json.encode { type = "lobby-notify", event = event, value = value, name = name }
	room:broadcast_message(st.message({ type = "groupchat", from = occupant.nick })
		:tag("json-message", { xmlns = NS_JITSI }):text(text):up())
end

local function tell_metadata(room, enabled)
	local text = json.encode { type = "room_metadata", metadata = { lobbyEnabled = enabled } }
	for _, occupant in room:each_occupant() do
		for address in occupant:each_session() do
			module:send(st.message({ from = "metadata." .. main_host, to = address })
				:tag("json-message", { xmlns = NS_JITSI, room = room.jid }):text(text):up())
		end
	end
end

-- Turning on and off (facts 13, 14, 16, 17)

local function open_lobby(room)
	if lobby_of(room) then return false end
	local lobby_room = muc_of(lobby_host).create_room(jid.join(jid.node(room.jid), lobby_host))
	lobby_room:set_persistent(true)
	lobby_room.main_room_jid = room.jid
	room._data.lobbyroom = lobby_room.jid
	room:save(true)
	module:log("info", "lobby %s opened", lobby_room.jid)
	return true
end

local function close_lobby(room)
	local lobby_room = lobby_of(room)
	room._data.lobbyroom = nil
	if not lobby_room then return end
	lobby_room:set_persistent(false)
	lobby_room:destroy(nil, "Lobby room closed.")
	tell_metadata(room, false)
	module:log("info", "lobby %s closed", lobby_room.jid)
end

module:hook("muc-config-submitted", function(event)
	local room, actor = event.room, event.actor
	if jid.node(actor) == "focus" then return end
	if event.fields["muc#roomconfig_membersonly"] then
		if open_lobby(room) then
			event.status_codes["104"] = true
			notify(room, actor, "LOBBY-ENABLED", true)
			tell_metadata(room, true)
		end
	elseif room._data.lobbyroom then
		close_lobby(room)
		notify(room, actor, "LOBBY-ENABLED", false)
	end
end)

module:hook("muc-room-destroyed", function(event) close_lobby(event.room) end, 1)

module:hook("muc-disco#info", function(event)
	local room = event.room
	if not room._data.lobbyroom or not room:get_members_only() then return end
	table.insert(event.form, { name = "muc#roominfo_lobbyroom", label = "Lobby room", value = "" })
	event.formdata["muc#roominfo_lobbyroom"] = room._data.lobbyroom
end)

-- Joining (facts 7, 8, 30)

local function refuse(event, kind, condition, code)
	local reply = st.error_reply(event.stanza, kind, condition)
	reply.tags[1].attr.code = code
	return reply
end

-- A right password opens the room too; who is a member already needs none.
local function admit_by_password(event, join)
	local room, from = event.room, event.stanza.attr.from
	local password = room:get_password()
	if not password then return false end
	local given = join:get_child_text("password", NS_MUC)
	if given == password then
		if not is_member(room, from) then
			event.occupant.role = "participant"
			room:set_affiliation(true, jid.bare(from), "member")
			room:save_occupant(event.occupant)
		end
		return true
	elseif not given and is_member(room, from) then
		join:tag("password", { xmlns = NS_MUC }):text(password):up()
	end
	return false
end

module:hook("muc-occupant-pre-join", function(event)
	local room, stanza = event.room, event.stanza
	if room.jid:find("^__jicofo%-health%-check") or not room:get_members_only()
			or jid.resource(event.occupant.nick) == "focus" then
		return nil
	end
	local join = stanza:get_child("x", NS_MUC)
	if not join or admit_by_password(event, join) then return nil end
	if (stanza:get_child_text("nick", NS_NICK) or "") == "" then
		event.origin.send(refuse(event, "modify", "not-acceptable", "406")
			:tag("displayname-required", { xmlns = NS_JITSI, lobby = "true" }):up():up()
			:tag("x", { xmlns = NS_MUC }))
		return true
	end
	if not is_member(room, stanza.attr.from) and room:get_affiliation(stanza.attr.from) ~= "outcast" then
		local lobby_jid = room._data.lobbyroom or ""
		event.origin.send(refuse(event, "auth", "registration-required", "407")
			:tag("lobbyroom", { xmlns = NS_JITSI }):text(lobby_jid):up():up()
			:tag("lobbyroom"):text(lobby_jid):up()
			:tag("x", { xmlns = NS_MUC }))
		return true
	end
end, -4) -- before members_only's own refusal at -5

-- Approving and denying (fact 19)

module:hook("muc-invite", function(event)
	local room, stanza = event.room, event.stanza
	local lobby_room = lobby_of(room)
	local waiting = lobby_room and lobby_room:get_occupant_by_real_jid(stanza.attr.to)
	if not waiting then return end
	local from = stanza:get_child("x", NS_USER):get_child("invite").attr.from
	local name = waiting:get_presence():get_child_text("nick", NS_NICK)
	notify(room, from, "LOBBY-ACCESS-GRANTED", waiting.nick, name)
end)

local function has_status(x, code)
	for status in x:childtags("status") do
		if status.attr.code == code then return true end
	end
	return false
end

-- A kick takes the membership too (fact 18).
module:hook("muc-broadcast-presence", function(event)
	if has_status(event.x, "307") then
		event.room:set_affiliation(event.actor, event.occupant.bare_jid, "none")
	end
end)

local function lobby_presence(event)
	if not has_status(event.x, "307") then return end
	local name = event.occupant:get_presence():get_child_text("nick", NS_NICK)
	notify(main_of(event.room), event.actor, "LOBBY-ACCESS-DENIED", event.occupant.nick, name)
end

-- Inside the lobby: its moderators are the main room's, and those who wait see and hear only them.

local function real_jid_of(lobby_room, nick)
	local occupant = lobby_room:get_occupant_by_nick(nick)
	return occupant and occupant:each_session()(occupant)
end

local function concerns_moderator(lobby_room, stanza, other)
	return lobby_room:get_affiliation(stanza.attr.to) == "owner"
		or (other and lobby_room:get_affiliation(other) == "owner")
end

local function may_pass(stanza)
	if stanza.name == "iq" then
		return stanza:get_child("query", "http://jabber.org/protocol/disco#info") ~= nil
	end
	local lobby_room = muc_of(lobby_host).get_room_from_jid(jid.bare(stanza.attr.from))
	if not lobby_room then return stanza.name == "presence" end
	if stanza.name == "message" then
		return concerns_moderator(lobby_room, stanza, real_jid_of(lobby_room, stanza.attr.from))
	end
	local x = stanza:get_child("x", NS_USER)
	if not x or stanza.attr.type == "unavailable" or has_status(x, "110") then return true end
	local item = x:get_child("item")
	return lobby_room:get_affiliation(stanza.attr.to) == "owner"
		and lobby_room:get_affiliation(item.attr.jid) ~= "owner"
end

filters.add_filter_hook(function(session)
	filters.add_filter(session, "stanzas/out", function(stanza)
		local from = stanza.attr and stanza.attr.from
		if from and select(2, jid.split(from)) == lobby_host and not may_pass(stanza) then return nil end
		return stanza
	end, -1)
end)

local function prepare_lobby_host()
	local context = module:context(lobby_host)
	context:hook("muc-broadcast-presence", lobby_presence)
	module:context(main_host):add_identity("component", "lobbyrooms", lobby_host)
	muc_of(lobby_host).room_mt.get_affiliation = function(lobby_room, address)
		local main = lobby_room.main_room_jid and main_of(lobby_room)
		return main and main:get_affiliation(address) or "none"
	end
end

if muc_of(lobby_host) then
	prepare_lobby_host()
else
	module:hook_global("host-activated", function(host)
		if host == lobby_host then prepare_lobby_host() end
	end, -100)
end
