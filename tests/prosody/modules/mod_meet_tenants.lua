-- On the main host: room@conference.TENANT.D is what a tenant's users see of
-- [tenant]room@conference.D (wire fact 20). Translated at the edge of each client's session.
local filters = require "util.filters"
local jid = require "util.jid"

local domain = module:get_option_string("muc_mapper_domain_base")
local muc = module:get_option_string("main_muc")
local inside = "^conference%.([^.]+)%." .. domain:gsub("%p", "%%%0") .. "$"

local function to_internal(address)
	local node, host, resource = jid.split(address)
	local tenant = host and host:match(inside)
	if not tenant then return address end
	return jid.join(node and ("[%s]%s"):format(tenant, node), muc, resource)
end

local function to_public(address)
	local node, host, resource = jid.split(address)
	if host ~= muc or not node then return address end
	local tenant, name = node:match("^%[([^%]]+)%](.+)$")
	if not tenant then return address end
	return jid.join(name, ("conference.%s.%s"):format(tenant, domain), resource)
end

local stanzas = { message = true, presence = true, iq = true }

local function translate(attribute, translation)
	return function(stanza)
		if stanzas[stanza.name] and stanza.attr[attribute] then
			stanza.attr[attribute] = translation(stanza.attr[attribute])
		end
		return stanza
	end
end
local incoming, outgoing = translate("to", to_internal), translate("from", to_public)

-- Before mod_websocket's own filter, which writes the stanza; on a copy, since one stanza object goes
-- to many sessions.
local st = require "util.stanza"
filters.add_filter_hook(function(session)
	if session.type ~= "c2s" and session.type ~= "c2s_unauthed" then return end
	filters.add_filter(session, "stanzas/in", incoming)
	filters.add_filter(session, "stanzas/out", function(stanza)
		return outgoing(st.is_stanza(stanza) and st.clone(stanza) or stanza)
	end, 1)
end)
