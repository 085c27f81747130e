#include "monitor/watched_time.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

constexpr char kKind = 't';
constexpr uint8_t kVersion = 1;

}  // namespace

Duration WatchedTime::Within(SteadyTime now, Duration back) const {
  const SteadyTime from = now - back;
  auto shared = [&](const Span& span) {
    return std::max<Duration>(std::min(span.to, now) - std::max(span.from, from), Duration::zero());
  };
  Duration sum = shared({began_, now});
  for (const Span& span : before_) sum += shared(span);
  return sum;
}

std::string WatchedTime::Words(SteadyTime now, Duration back) const {
  const Duration seen = Within(now, back);
  std::string last = StrCat("last ", SpanText(ToSeconds(back)));
  // A restart of some seconds is no gap that one has to speak of.
  if (seen >= back - back / 20) return last;
  const std::string span = SpanText(ToSeconds(seen));
  const SteadyTime first = before_.empty() ? began_ : before_.front().from;
  const Duration slack = std::max<Duration>((now - first) / 20, std::chrono::minutes(1));
  return first > now - back && seen >= now - first - slack ? StrCat(span, " seen so far")
                                                           : StrCat(span, " seen of the ", last);
}

std::string WatchedTime::Bytes(SteadyTime now) const {
  ByteWriter bytes(kKind, kVersion);
  std::vector<Span> spans;
  for (const Span& span : before_) {
    if (now - span.to < kLongest) spans.push_back(span);
  }
  spans.push_back({began_, now});
  bytes.Varint(spans.size());
  for (const Span& span : spans) {
    bytes.Varint(static_cast<uint64_t>((now - span.from).count()));
    bytes.Varint(static_cast<uint64_t>((now - span.to).count()));
  }
  return std::move(bytes).Take();
}

bool WatchedTime::Restore(std::string_view bytes, SteadyTime then, SteadyTime now) {
  ByteReader from(bytes, kKind, kVersion);
  const uint64_t count = from.Varint();
  if (count > kMaxSpans + 1) from.Fail();
  std::deque<Span> spans;
  constexpr auto kMost = static_cast<uint64_t>(Duration(std::chrono::hours(24 * 366)).count());
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    const uint64_t begin = from.Varint(), end = from.Varint();
    if (begin < end) from.Fail();
    const Span span{then - Duration(static_cast<int64_t>(std::min(begin, kMost))),
                    std::min(then - Duration(static_cast<int64_t>(std::min(end, kMost))), began_)};
    if (now - span.to >= kLongest || span.to <= span.from) continue;
    // Restarts of some seconds are one span.
    if (!spans.empty() && span.from - spans.back().to < std::chrono::seconds(30)) {
      spans.back().to = std::max(spans.back().to, span.to);
    } else {
      spans.push_back(span);
    }
    if (spans.size() > kMaxSpans) spans.pop_front();
  }
  if (!from.Finished()) return false;
  before_ = std::move(spans);
  return true;
}

}  // namespace leadsman
