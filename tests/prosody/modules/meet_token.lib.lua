-- Verifies a Jitsi token and keeps its claims, as wire facts 3 and 4 say: HS256 with the secret or,
-- where meet_token_keys names a folder, RS256 with the key in its file sha256hex(kid).pem.
local hashes = require "util.hashes"
local base64 = require "util.encodings".base64
local json = require "util.json"

local secret = module:get_option_string("app_secret")
local issuers = module:get_option_set("asap_accepted_issuers", {})
local audiences = module:get_option_set("asap_accepted_audiences", { "*" })
local keys = module:get_option_string("meet_token_keys")
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

local function public_key(kid)
	local file = type(kid) == "string" and io.open(keys .. "/" .. hashes.sha256(kid, true) .. ".pem")
	local text = file and file:read("*a")
	if file then file:close() end
	return text
end

-- True, or nil with a text for the user.
local function verify_signature(header, signed, signature)
	if not keys then
		if header.alg ~= "HS256" then return nil, "Invalid or incorrect alg" end
		return signature == hashes.hmac_sha256(secret, signed) or nil, "Invalid signature"
	end
	if header.kid == nil then return nil, "'kid' claim is missing" end
	if header.alg ~= "RS256" then return nil, "'kid' claim only support with RS family" end
	local key = public_key(header.kid)
	if not key then return nil, "could not obtain public key" end
	local digest = require "openssl.digest".new("sha256"):update(signed)
	return require "openssl.pkey".new(key):verify(signature, digest) or nil, "Invalid signature"
end

-- Claims, or nil with a text for the user.
local function verify(token)
	local signed, head, body, signature = token:match("^(([^.]+)%.([^.]+))%.([^.]+)$")
	if not signed then return nil, "Invalid token" end
	local header, claims = decode_object(head), decode_object(body)
	if not header then return nil, "Invalid header" end
	if not claims then return nil, "Invalid body" end
	if header.typ ~= "JWT" then return nil, "Invalid typ" end
	local ok, text = verify_signature(header, signed, decode(signature) or "")
	if not ok then return nil, text end
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
