-- Verifies a Jitsi token (HS256) and keeps its claims, as wire facts 3 and 4 say.
local hashes = require "util.hashes"
local base64 = require "util.encodings".base64
local json = require "util.json"

local secret = module:get_option_string("app_secret")
local issuers = module:get_option_set("asap_accepted_issuers", {})
local audiences = module:get_option_set("asap_accepted_audiences", { "*" })
local allow_empty = module:get_option_boolean("allow_empty_token", false)

local function decode(part)
	if part:find("[^%w_-]") then return nil end
	return base64.decode(part:gsub("[-_]", { ["-"] = "+", ["_"] = "/" }) .. ("="):rep(-#part % 4))
end

local function decode_object(part)
	local text = decode(part)
	local value = text and json.decode(text)
	return type(value) == "table" and value or nil
end

local function accepts(set, claim)
	return set:contains("*") or set:contains(claim)
end

-- Claims, or nil with a text for the user.
local function verify(token)
	local signed, head, body, signature = token:match("^(([^.]+)%.([^.]+))%.([^.]+)$")
	if not signed then return nil, "Invalid token" end
	local header, claims = decode_object(head), decode_object(body)
	if not header then return nil, "Invalid header" end
	if not claims then return nil, "Invalid body" end
	if header.typ ~= "JWT" then return nil, "Invalid typ" end
	if header.alg ~= "HS256" then return nil, "Invalid or incorrect alg" end
	if decode(signature) ~= hashes.hmac_sha256(secret, signed) then return nil, "Invalid signature" end
	for _, name in ipairs { "exp", "nbf" } do
		if claims[name] ~= nil and type(claims[name]) ~= "number" then
			return nil, name .. " must be number"
		end
	end
	if claims.exp and os.time() >= claims.exp then return nil, "Not acceptable by exp" end
	if claims.nbf and os.time() < claims.nbf then return nil, "Not acceptable by nbf" end
	if claims.iss == nil then return nil, "'iss' claim is missing" end
	if not accepts(issuers, claims.iss) then return nil, "invalid 'iss' claim" end
	if claims.aud == nil then return nil, "'aud' claim is missing" end
	if not accepts(audiences, claims.aud) then return nil, "invalid 'aud' claim" end
	return claims
end

-- Judges session.auth_token at login: true, or false with a SASL condition and a text. A refused token
-- is forgotten, so that the same stream may log in again as a guest.
local function authenticate(session)
	local token = session.auth_token
	if token == nil then
		if allow_empty then return true end
		return false, "not-allowed", "token required"
	end
	session.auth_token = nil
	local claims, text = verify(token)
	if not claims then return false, "not-allowed", text end
	if claims.room == nil then return false, "not-authorized", "room claim is missing" end
	if claims.sub == nil then return false, "not-authorized", "sub claim is missing" end
	session.auth_token, session.meet_claims = token, claims
	return true
end

return { authenticate = authenticate }
