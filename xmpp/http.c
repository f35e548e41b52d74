#include "xmpp/http.h"
