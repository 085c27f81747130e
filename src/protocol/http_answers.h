#pragma once

#include <string>
#include <string_view>

#include "net/http_server.h"

namespace leadsman {

/// What the frontends of the protocols share: errors, methods, names in paths.

/// {"error": "<message>"}, as TensorFlow Serving, V2 and the plain protocol have it.
void AnswerError(net::HttpExchange& exchange, int http_status, std::string_view message);

/// False (and a 405 with `allow`) when the method is another one. GET stands for HEAD, too.
bool RequireMethod(net::HttpExchange& exchange, std::string_view wanted);

/// A name from a path. Nothing is copied unless it holds an escape; then `name` points into
/// `storage`. False when it is not properly percent-encoded.
bool DecodeName(std::string_view encoded, std::string& storage, std::string_view& name);

/// The segment before the next '/', which is taken too.
std::string_view TakeSegment(std::string_view& rest);

}  // namespace leadsman
