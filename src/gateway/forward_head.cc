#include "gateway/forward_head.h"

#include <algorithm>
#include <vector>

#include "base/strings.h"
#include "net/response_head.h"

namespace leadsman::gateway {
namespace {

using Field = net::HttpRequest::Field;

bool Is(std::string_view name, std::string_view other) {
  return name.size() == other.size() && EqualsIgnoreCase(name, other);
}

/// Of the connection, not of the message.
bool IsHopByHop(std::string_view name) {
  switch (name.size()) {
    case 2:
      return EqualsIgnoreCase(name, "te");
    case 7:
      return EqualsIgnoreCase(name, "trailer") || EqualsIgnoreCase(name, "upgrade");
    case 10:
      return EqualsIgnoreCase(name, "connection") || EqualsIgnoreCase(name, "keep-alive");
    case 16:
      return EqualsIgnoreCase(name, "proxy-connection");
    case 17:
      return EqualsIgnoreCase(name, "transfer-encoding");
    default:
      return false;
  }
}

/// What Connection may name, and is not for it to take away.
bool IsProtected(std::string_view name) {
  return Is(name, "host") || Is(name, "content-length") || Is(name, "content-type") ||
         Is(name, "authorization") || Is(name, "cookie") || Is(name, "expect");
}

/// What servers behind CGI's naming take for another field.
bool IsAmbiguous(std::string_view name) {
  return Is(name, "content_length") || Is(name, "transfer_encoding") || Is(name, "proxy") ||
         Is(name, "x_forwarded_for") || Is(name, "x_forwarded_proto");
}

bool LessIgnoringCase(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [&](char x, char y) { return lower(x) < lower(y); });
}

/// Sorted: there can be ten thousand of them, and as many fields to look for.
std::vector<std::string_view> NamedByConnection(const std::vector<Field>& fields) {
  std::vector<std::string_view> named;
  for (const Field& field : fields) {
    if (!Is(field.name, "connection")) continue;
    for (std::string_view word : leadsman::Split(field.value, ',')) {
      word = Trim(word);
      if (!word.empty() && !Is(word, "close") && !Is(word, "keep-alive") && !Is(word, "upgrade") &&
          !IsProtected(word))
        named.push_back(word);
    }
  }
  std::sort(named.begin(), named.end(), LessIgnoringCase);
  return named;
}

/// What a copy, whose body is there as a whole, does not say as the original does.
bool IsOfOriginal(std::string_view name) {
  return Is(name, "content-length") || Is(name, "expect") || Is(name, kShadowHeader);
}

bool IsOneOf(const std::vector<std::string_view>& names, std::string_view name) {
  return std::binary_search(names.begin(), names.end(), name, LessIgnoringCase);
}

void AppendField(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

bool IsForwarded(std::string_view name) { return !IsHopByHop(name) && !IsAmbiguous(name); }

bool ListsWord(const net::HttpRequest& request, std::string_view field, std::string_view word) {
  for (const Field& one : request.fields) {
    if (!Is(one.name, field)) continue;
    for (std::string_view item : leadsman::Split(one.value, ',')) {
      if (EqualsIgnoreCase(Trim(item), word)) return true;
    }
  }
  return false;
}

bool IsTarget(std::string_view method, std::string_view target) {
  if (target == "*") return method == "OPTIONS";
  return target.starts_with('/') && target.find('#') == std::string_view::npos;
}

bool SplitAbsoluteTarget(std::string_view target, std::string_view& authority,
                         std::string& origin_form) {
  const size_t scheme = target.find("://");
  const std::string_view name = target.substr(0, scheme);
  if (!EqualsIgnoreCase(name, "http") && !EqualsIgnoreCase(name, "https")) return false;
  const std::string_view rest = target.substr(scheme + 3);
  const size_t end = rest.find_first_of("/?#");
  authority = rest.substr(0, end);
  origin_form = end == std::string_view::npos ? "" : rest.substr(end);
  if (!origin_form.starts_with('/')) origin_form.insert(0, "/");
  return true;
}

void AppendRequestHead(std::string& out, const net::HttpRequest& request,
                       const RequestForward& how) {
  out.append(request.method).append(" ").append(how.target).append(" HTTP/1.1\r\n");
  const std::vector<std::string_view> named = NamedByConnection(request.fields);
  const bool append = how.forwarded == ListenerOptions::Forwarded::kAppend;
  std::string forwarded_for;
  std::string_view proto;
  if (!how.host.empty()) AppendField(out, "Host", how.host);
  for (const Field& field : request.fields) {
    if (IsHopByHop(field.name) || IsAmbiguous(field.name)) continue;
    if (Is(field.name, "host") && !how.host.empty()) continue;
    if (how.shadow && IsOfOriginal(field.name)) continue;
    if (Is(field.name, "x-forwarded-for")) {
      if (append && !field.value.empty()) forwarded_for.append(field.value).append(", ");
      continue;
    }
    if (Is(field.name, "x-forwarded-proto")) {
      if (append && proto.empty()) proto = field.value;
      continue;
    }
    if (!named.empty() && IsOneOf(named, field.name)) continue;
    AppendField(out, field.name, field.value);
  }
  out.append("X-Forwarded-For: ").append(forwarded_for).append(how.client).append("\r\n");
  AppendField(out, "X-Forwarded-Proto", proto.empty() ? how.proto : proto);
  if (how.shadow) return AppendField(out, kShadowHeader, "true");
  if (how.chunked) AppendField(out, "Transfer-Encoding", "chunked");
  if (how.upgrade) {
    AppendField(out, "Connection", "Upgrade");
    AppendField(out, "Upgrade", request.Header("upgrade"));
  }
  out.append("\r\n");
}

void AppendAnswerHead(std::string& out, const net::AnswerHead& answer, const AnswerForward& how) {
  using Body = AnswerForward::Body;
  out.append("HTTP/1.1 ").append(std::to_string(answer.status)).append(" ");
  out.append(answer.reason.empty() ? net::ReasonPhrase(answer.status) : answer.reason);
  out.append("\r\n");
  const std::vector<std::string_view> named = NamedByConnection(answer.fields);
  for (const Field& field : answer.fields) {
    if (IsHopByHop(field.name)) continue;
    if (how.body == Body::kNone && Is(field.name, "content-length")) continue;
    if (!named.empty() && IsOneOf(named, field.name)) continue;
    AppendField(out, field.name, field.value);
  }
  if (how.body == Body::kChunked || (how.body == Body::kUntold && how.would_be_chunked))
    AppendField(out, "Transfer-Encoding", "chunked");
  if (how.upgrade) {
    AppendField(out, "Connection", "Upgrade");
    const std::string_view protocol = answer.Header("upgrade");
    if (!protocol.empty()) AppendField(out, "Upgrade", protocol);
  } else if (how.close) {
    AppendField(out, "Connection", "close");
  } else if (how.say_keep_alive) {
    AppendField(out, "Connection", "keep-alive");
  }
  out.append("\r\n");
}

}  // namespace leadsman::gateway
