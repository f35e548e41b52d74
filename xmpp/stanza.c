#include "xmpp/stanza.h"
