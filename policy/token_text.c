/*
 * Takes a token's text apart as Jitsi's Lua does, and more leniently still.
 *
 * The one thing to know: the signature is over the parts as they are written, so only two places of
 * a signed token can be rewritten by a stranger: what stands between the parts, and the signature's
 * own letters. Jitsi's reader is generous with both (dots and backslashes, '=' anywhere, bits left
 * over).
 */
#include "policy/token_text.h"

#include <stdlib.h>
#include <string.h>

/* The six bits of a letter of either base64 alphabet; -1 is none, -2 is one that lenient readers
 * skip. */
static int sextet(unsigned char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    if (letter == '-' || letter == '+')
        return 62;
    if (letter == '_' || letter == '/')
        return 63;
    if (letter == '=' || letter == ' ' || (letter >= '\t' && letter <= '\r'))
        return -2;
    return -1;
}

/* Decodes as the most lenient reader would: Prosody's takes '=' anywhere and drops bits left over
 * at the end. */
bool token_part_decode(const char *text, size_t len, struct token_part *part, bool *is_plain)
{
    unsigned bits = 0, count = 0;

    part->len = 0;
    for (size_t i = 0; i < len; i++) {
        int value = sextet((unsigned char)text[i]);

        if (value == -1)
            return false;
        if (value == -2 || text[i] == '+' || text[i] == '/')
            *is_plain = false;
        if (value < 0)
            continue;
        bits = (bits << 6 | (unsigned)value) & 0xffff;
        count += 6;
        if (count >= 8) {
            count -= 8;
            part->bytes[part->len++] = (unsigned char)(bits >> count);
        }
    }
    if (count >= 6 || (bits & ((1u << count) - 1)) != 0)
        *is_plain = false;
    return true;
}

/* Jitsi's reader parts at runs of dots and of backslashes, wherever they stand: its set of
 * separators holds both. Returns how many parts there are, of which the first three are written. */
static size_t split(const char *text, size_t len, const char *at[3], size_t lens[3])
{
    size_t count = 0;

    for (size_t i = 0; i < len;) {
        size_t start = i;

        while (i < len && text[i] != '.' && text[i] != '\\')
            i++;
        if (i == start) {
            i++;
            continue;
        }
        if (count < 3) {
            at[count] = text + start;
            lens[count] = i - start;
        }
        count++;
    }
    return count;
}

enum token_text_result token_text_read(const char *text, size_t len, struct token_text *ret)
{
    struct token_text result = {0};
    struct token_part *const parts[3] = {&result.header, &result.payload, &result.signature};
    const char *at[3];
    size_t lens[3];

    if (split(text, len, at, lens) != 3)
        return TOKEN_TEXT_NOT_THREE;
    /* The parts, joined and then decoded: neither is longer than the text. */
    result.memory = malloc(2 * (len + 1));
    if (!result.memory)
        return TOKEN_TEXT_NO_MEMORY;
    result.joined = result.memory;

    char *end = result.joined;
    for (size_t i = 0; i < 3; i++) {
        if (i == 2)
            result.signed_len = (size_t)(end - result.joined);
        if (i > 0)
            *end++ = '.';
        memcpy(end, at[i], lens[i]);
        end += lens[i];
    }
    size_t joined_len = (size_t)(end - result.joined);
    *end = '\0';
    result.is_plain = joined_len == len && memcmp(result.joined, text, len) == 0;

    unsigned char *space = (unsigned char *)end + 1;
    for (size_t i = 0; i < 3; i++) {
        parts[i]->bytes = space;
        if (!token_part_decode(at[i], lens[i], parts[i], &result.is_plain)) {
            free(result.memory);
            return TOKEN_TEXT_NOT_BASE64;
        }
        space += parts[i]->len;
    }
    *ret = result;
    return TOKEN_TEXT_OK;
}

void token_text_done(struct token_text *text)
{
    free(text->memory);
    *text = (struct token_text){0};
}
