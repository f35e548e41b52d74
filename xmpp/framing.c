#include "xmpp/framing.h"
