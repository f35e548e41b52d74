#include "xmpp/websocket.h"
