#include "stats/trace_context.h"

#include <algorithm>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr char kHex[] = "0123456789abcdef";

int HexDigit(char c, bool upper_too) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (upper_too && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The whole text into the last bytes of `out`; what is before them becomes zero. False unless it is hexadecimal.
template <size_t kSize>
bool ReadHex(std::string_view text, std::array<uint8_t, kSize>& out, bool upper_too) {
  if (text.size() % 2 != 0 || text.size() > 2 * kSize) return false;
  out = {};
  const size_t first = kSize - text.size() / 2;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = HexDigit(text[i], upper_too);
    const int low = HexDigit(text[i + 1], upper_too);
    if (high < 0 || low < 0) return false;
    out[first + i / 2] = uint8_t(high * 16 + low);
  }
  return true;
}

template <size_t kSize>
bool IsZero(const std::array<uint8_t, kSize>& id) {
  return std::all_of(id.begin(), id.end(), [](uint8_t byte) { return byte == 0; });
}

char* WriteHex(const uint8_t* bytes, size_t size, char* out) {
  for (size_t i = 0; i < size; ++i) {
    *out++ = kHex[bytes[i] >> 4];
    *out++ = kHex[bytes[i] & 15];
  }
  return out;
}

struct Ids {
  TraceContext::TraceId trace{};
  TraceContext::SpanId span{};
};

/// W3C Trace Context, level 1 and what level 2 says of later versions: more may follow, behind a '-'.
bool ReadTraceparent(std::string_view text, Ids& ids, uint8_t& flags) {
  constexpr size_t kSize = TraceContext::kTraceparentSize;
  if (text.size() < kSize || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  std::array<uint8_t, 1> version{};
  std::array<uint8_t, 1> flag{};
  if (!ReadHex(text.substr(0, 2), version, false) || version[0] == 0xff) return false;
  if (text.size() > kSize && (version[0] == 0 || text[kSize] != '-')) return false;
  if (!ReadHex(text.substr(3, 32), ids.trace, false) ||
      !ReadHex(text.substr(36, 16), ids.span, false) || !ReadHex(text.substr(53, 2), flag, false)) {
    return false;
  }
  flags = flag[0];
  return !IsZero(ids.trace) && !IsZero(ids.span);
}

bool ReadB3Ids(std::string_view trace, std::string_view span, Ids& ids) {
  return (trace.size() == 16 || trace.size() == 32) && span.size() == 16 &&
         ReadHex(trace, ids.trace, true) && ReadHex(span, ids.span, true) && !IsZero(ids.trace) &&
         !IsZero(ids.span);
}

/// "0", "1", "d", and what old clients send.
bool ReadSampling(std::string_view text, TraceContext::Sampling& out) {
  using Sampling = TraceContext::Sampling;
  if (text == "1" || EqualsIgnoreCase(text, "true")) {
    out = Sampling::kYes;
  } else if (text == "0" || EqualsIgnoreCase(text, "false")) {
    out = Sampling::kNo;
  } else if (text == "d") {
    out = Sampling::kDebug;
  } else {
    return false;
  }
  return true;
}

/// {trace}-{span}[-{sampling}[-{parent}]]. A sampling decision alone names no trace.
bool ReadB3(std::string_view text, Ids& ids, TraceContext::Sampling& sampling, bool& short_id) {
  const size_t first = text.find('-');
  if (first == std::string_view::npos) return false;
  const size_t second = std::min(text.find('-', first + 1), text.size());
  const std::string_view trace = text.substr(0, first);
  if (!ReadB3Ids(trace, text.substr(first + 1, second - first - 1), ids)) return false;
  short_id = trace.size() == 16;
  if (second == text.size()) return true;
  const size_t third = std::min(text.find('-', second + 1), text.size());
  if (!ReadSampling(text.substr(second + 1, third - second - 1), sampling)) return false;
  if (third == text.size()) return true;
  TraceContext::SpanId parent;
  const std::string_view parent_text = text.substr(third + 1);
  return parent_text.size() == 16 && ReadHex(parent_text, parent, true);
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\t'; });
}

/// Adds the members of one field, as far as there is room for whole ones.
void AddTraceState(std::string_view field, std::string& out) {
  while (!field.empty()) {
    const size_t comma = std::min(field.find(','), field.size());
    const std::string_view member = Trim(field.substr(0, comma));
    field.remove_prefix(std::min(comma + 1, field.size()));
    if (member.empty()) continue;
    if (out.size() + member.size() + 1 > TraceContext::kMaxTraceState) return;
    if (!out.empty()) out += ',';
    out += member;
  }
}

}  // namespace

void TraceFields::Take(std::string_view name, std::string_view value) {
  auto is = [&](std::string_view wanted) { return EqualsIgnoreCase(name, wanted); };
  // By length first: of a request's many fields almost none gets any further.
  switch (name.size()) {
    case 2:
      if (is("b3")) b3 = value;
      return;
    case 10:
      if (is("tracestate")) {
        if (tracestate.empty()) {
          tracestate = value;
        } else if (tracestate_more.empty()) {
          tracestate_more = value;
        } else {
          tracestate_too_often = true;
        }
      } else if (is("x-b3-flags")) {
        b3_flags = value;
      }
      return;
    case 11:
      if (is("traceparent")) {
        traceparent_twice = traceparent_twice || !traceparent.empty();
        traceparent = value;
      } else if (is("x-b3-spanid")) {
        b3_span_id = value;
      }
      return;
    case 12:
      if (is("x-b3-traceid")) {
        b3_trace_id = value;
      } else if (is("x-b3-sampled")) {
        b3_sampled = value;
      }
      return;
    default:
      return;
  }
}

void TraceContext::Clear() {
  std::string kept = std::move(tracestate);
  *this = TraceContext();
  kept.clear();
  tracestate = std::move(kept);
}

bool TraceContext::Parse(const TraceFields& fields) {
  Ids ids;
  if (!fields.b3_trace_id.empty() && ReadB3Ids(fields.b3_trace_id, fields.b3_span_id, ids)) {
    b3_multi = true;
    short_id = fields.b3_trace_id.size() == 16;
    (void)ReadSampling(fields.b3_sampled, sampling);
    if (fields.b3_flags == "1") sampling = Sampling::kDebug;
    trace_id = ids.trace;
    parent_span_id = ids.span;
  }
  if (!fields.b3.empty()) {
    Sampling decided = Sampling::kUndecided;
    bool is_short = false;
    if (ReadB3(fields.b3, ids, decided, is_short)) {
      b3_single = true;
      short_id = is_short;
      sampling = decided;
      trace_id = ids.trace;
      parent_span_id = ids.span;
    }
  }
  uint8_t w3c_flags = 0;
  if (!fields.traceparent.empty() && !fields.traceparent_twice &&
      ReadTraceparent(fields.traceparent, ids, w3c_flags)) {
    w3c = true;
    short_id = false;
    flags = w3c_flags;
    trace_id = ids.trace;
    parent_span_id = ids.span;
    if (sampling != Sampling::kDebug) sampling = (flags & 1) != 0 ? Sampling::kYes : Sampling::kNo;
    if (!fields.tracestate_too_often && IsPrintable(fields.tracestate) &&
        IsPrintable(fields.tracestate_more)) {
      AddTraceState(fields.tracestate, tracestate);
      AddTraceState(fields.tracestate_more, tracestate);
    }
  }
  if (valid()) flags = sampled() ? flags | 1 : flags & ~1;
  return valid();
}

void TraceContext::SetSpanId(uint64_t random) {
  if (random == 0) random = 1;
  for (uint8_t& byte : span_id) {
    byte = uint8_t(random);
    random >>= 8;
  }
}

std::string_view TraceContext::WriteTraceparent(char (&out)[kTraceparentSize]) const {
  // Always version 00, which is what this was written for. Its flags: sampled, and nothing that is not known.
  char* at = out;
  *at++ = '0';
  *at++ = '0';
  *at++ = '-';
  at = WriteHex(trace_id.data(), trace_id.size(), at);
  *at++ = '-';
  at = WriteHex(span_id.data(), span_id.size(), at);
  *at++ = '-';
  *at++ = '0';
  *at++ = kHex[flags & 1];
  return {out, kTraceparentSize};
}

std::string_view TraceContext::WriteB3(char (&out)[kB3Size]) const {
  char trace[32];
  const std::string_view trace_text = WriteTraceId(trace);
  char* at = std::copy(trace_text.begin(), trace_text.end(), out);
  *at++ = '-';
  at = WriteHex(span_id.data(), span_id.size(), at);
  if (sampling != Sampling::kUndecided) {
    *at++ = '-';
    *at++ = sampling == Sampling::kDebug ? 'd' : sampled() ? '1' : '0';
    *at++ = '-';
    at = WriteHex(parent_span_id.data(), parent_span_id.size(), at);
  }
  return {out, size_t(at - out)};
}

std::string_view TraceContext::WriteTraceId(char (&out)[32]) const {
  const size_t skip = short_id ? 8 : 0;
  char* end = WriteHex(trace_id.data() + skip, trace_id.size() - skip, out);
  return {out, size_t(end - out)};
}

std::string_view TraceContext::WriteSpanId(const SpanId& id, char (&out)[16]) {
  WriteHex(id.data(), id.size(), out);
  return {out, sizeof(out)};
}

}  // namespace leadsman
