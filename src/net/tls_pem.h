#pragma once

#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"

// Internal to this room: certificates and keys as texts in PEM, for a context of either side. `where` names the field or the
// file in errors, which are INVALID_ARGUMENT.

struct ssl_ctx_st;

namespace leadsman::net {

/// The certificate and its chain. `expires` is set to the end of the first.
Status UseChain(ssl_ctx_st* context, const std::string& pem, const std::string& where,
                WallTime* expires);
/// The key of the certificate that is in use already, and came from `certificate`.
Status UseKey(ssl_ctx_st* context, const std::string& pem, const std::string& where,
              std::string_view certificate);
/// Whom the other side's certificate may come from.
Status UseAuthorities(ssl_ctx_st* context, const std::string& pem, const std::string& where);

}  // namespace leadsman::net
