#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/config.h"
#include "net/answer_head.h"
#include "net/http_server.h"

// The heads that a proxy passes on: written anew from what was understood, so that nobody behind it can read them otherwise.
// Pure.

namespace leadsman::gateway {

/// Says of a request that it is a copy, whose answer nobody waits for.
inline constexpr std::string_view kShadowHeader = "X-Leadsman-Shadow";

struct RequestForward {
  std::string_view client;  ///< its address
  ListenerOptions::Forwarded forwarded = ListenerOptions::Forwarded::kAppend;
  std::string_view proto = "http";  ///< what it came by
  std::string_view target;          ///< in origin form
  std::string_view host;            ///< instead of the Host field, when not empty
  bool chunked = false;
  bool upgrade = false;  ///< Connection and Upgrade go through
  /// A copy, marked as one: without an expectation, and up to the field that says how long its body is.
  bool shadow = false;
};

/// Without the fields that belong to the client's connection (Connection and what it names, Keep-Alive, TE, Trailer,
/// Transfer-Encoding, Upgrade), with X-Forwarded-For and X-Forwarded-Proto.
void AppendRequestHead(std::string& out, const net::HttpRequest& request,
                       const RequestForward& how);

/// Whether a field goes on at all, but for what Connection names: it is of the message, and no server takes it for another one.
bool IsForwarded(std::string_view name);

struct AnswerForward {
  enum class Body {
    kNone,        ///< nothing follows: 1xx, 204
    kUntold,      ///< nothing follows, and what is said of a length is of another answer: HEAD, 304
    kLength,      ///< as the upstream says
    kChunked,     ///< in chunks of our own
    kUntilClose,  ///< for HTTP/1.0
  };
  Body body = Body::kLength;
  bool would_be_chunked = false;  ///< kUntold: what is said of the length
  bool close = false;
  bool say_keep_alive = false;  ///< HTTP/1.0 clients have to be told
  bool upgrade = false;
};

void AppendAnswerHead(std::string& out, const net::AnswerHead& answer, const AnswerForward& how);

/// Whether a field, as Connection, lists a word.
bool ListsWord(const net::HttpRequest& request, std::string_view field, std::string_view word);

/// Whether a target in origin form is one that all understand alike: "*" is for OPTIONS alone, and some cut at a "#".
bool IsTarget(std::string_view method, std::string_view target);

/// The authority of a target in absolute form ("http://host:1/path?q") and what a server is asked for, in origin form; false
/// when it is something else.
bool SplitAbsoluteTarget(std::string_view target, std::string_view& authority,
                         std::string& origin_form);

}  // namespace leadsman::gateway
