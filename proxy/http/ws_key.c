/* Neither is a secret: they show that the other side reads WebSocket handshakes. */
#include "http/ws_key.h"

#include "base/seal.h"

#include <openssl/evp.h>
#include <string.h>

#define KEY_BYTES 16
#define SHA1_BYTES 20

bool ws_accept_of(struct slice key, char ret_accept[WS_ACCEPT_SIZE])
{
    static const char uuid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[WS_KEY_SIZE - 1 + sizeof uuid - 1], hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (key.n != WS_KEY_SIZE - 1)
        return false;
    memcpy(text, key.p, key.n);
    memcpy(text + key.n, uuid, sizeof uuid - 1);
    if (EVP_Digest(text, sizeof text, hash, &n, EVP_sha1(), NULL) != 1 || n != SHA1_BYTES)
        return false;
    EVP_EncodeBlock((unsigned char *)ret_accept, hash, SHA1_BYTES);
    return true;
}

bool ws_key_make(char ret_key[WS_KEY_SIZE], char ret_accept[WS_ACCEPT_SIZE])
{
    unsigned char bytes[KEY_BYTES];
    random_bytes(bytes, sizeof bytes);
    EVP_EncodeBlock((unsigned char *)ret_key, bytes, KEY_BYTES);
    return ws_accept_of(slice_make(ret_key, WS_KEY_SIZE - 1), ret_accept);
}
