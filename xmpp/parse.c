#include "xmpp/parse.h"
