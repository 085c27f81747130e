#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace leadsman {

/// The caller's trace, as it came with a request in the W3C form (traceparent, tracestate) or in Zipkin's B3 (one field or
/// several). Reused from request to request: nothing is allocated once `tracestate` has its capacity.
///
///   call.trace.Clear();
///   TraceFields fields;
///   for (auto [name, value] : request_fields) fields.Take(name, value);
///   if (call.trace.Parse(fields)) call.trace.span_id = a new one;
///   …
///   call.trace.ForEachAnswerField([&](std::string_view name, std::string_view value) { add it to the answer });
///
/// A request without a trace gets none: an answer names no trace that nobody collects. A malformed field is as good as
/// absent, as the specifications want it: a trace is never a reason to refuse a request.
struct TraceFields;

struct TraceContext {
  using TraceId = std::array<uint8_t, 16>;
  using SpanId = std::array<uint8_t, 8>;
  enum class Sampling : uint8_t { kUndecided, kNo, kYes, kDebug };
  static constexpr size_t kMaxTraceState =
      512;  ///< bytes; members beyond are left out, from the end

  TraceId trace_id{};
  SpanId parent_span_id{};  ///< the caller's
  SpanId span_id{};         ///< ours; all zero until it is set
  Sampling sampling = Sampling::kUndecided;
  uint8_t flags = 0;  ///< of traceparent; 1 = sampled
  bool w3c = false;   ///< the forms in which it came, and goes back
  bool b3_single = false;
  bool b3_multi = false;
  bool short_id = false;   ///< B3 with a trace id of 64 bits: goes back as short as it came
  std::string tracestate;  ///< for who is called next; never interpreted

  bool valid() const { return w3c || b3_single || b3_multi; }
  bool sampled() const { return sampling == Sampling::kYes || sampling == Sampling::kDebug; }

  /// Keeps tracestate's capacity.
  void Clear();
  /// True when there is a trace. With both forms the ids of traceparent count, and both are answered. Call Clear before.
  bool Parse(const TraceFields& fields);
  /// From 64 random bits; zero, which means none, becomes one.
  void SetSpanId(uint64_t random);

  /// Calls `add(name, value)` for each field of the answer, in lower case; the views are valid during the call.
  template <typename Add>
  void ForEachAnswerField(Add add) const;

  // For ForEachAnswerField: each writes into `out` and returns what it wrote.
  static constexpr size_t kTraceparentSize = 55;
  std::string_view WriteTraceparent(char (&out)[kTraceparentSize]) const;
  static constexpr size_t kB3Size = 32 + 1 + 16 + 1 + 1 + 1 + 16;
  std::string_view WriteB3(char (&out)[kB3Size]) const;
  std::string_view WriteTraceId(char (&out)[32]) const;
  static std::string_view WriteSpanId(const SpanId& id, char (&out)[16]);
};

/// A request's fields that may hold a trace. Views into the request.
struct TraceFields {
  std::string_view traceparent, tracestate, tracestate_more;
  std::string_view b3, b3_trace_id, b3_span_id, b3_sampled, b3_flags;
  bool traceparent_twice = false;
  bool tracestate_too_often = false;  ///< in more than two fields

  /// Keeps the field when it is one of these. The name in any case.
  void Take(std::string_view name, std::string_view value);
};

template <typename Add>
void TraceContext::ForEachAnswerField(Add add) const {
  if (w3c) {
    char text[kTraceparentSize];
    add("traceparent", WriteTraceparent(text));
  }
  if (b3_single) {
    char text[kB3Size];
    add("b3", WriteB3(text));
  }
  if (b3_multi) {
    char text[32];
    add("x-b3-traceid", WriteTraceId(text));
    char span[16];
    add("x-b3-spanid", WriteSpanId(span_id, span));
    add("x-b3-parentspanid", WriteSpanId(parent_span_id, span));
    if (sampling == Sampling::kDebug) {
      add("x-b3-flags", "1");
    } else if (sampling != Sampling::kUndecided) {
      add("x-b3-sampled", sampling == Sampling::kYes ? "1" : "0");
    }
  }
}

}  // namespace leadsman
