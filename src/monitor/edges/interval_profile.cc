#include "monitor/edges/interval_profile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "base/strings.h"
#include "math/byte_form.h"
#include "monitor/class_counts.h"
#include "monitor/event_codec.h"

namespace leadsman {
namespace {

/// More than an interval can hold; as many of them as there are milliseconds in a year still fit.
constexpr uint64_t kMaxCount = uint64_t{1} << 48;
constexpr double kMaxSeconds = 1e12;
/// What follows of labels. A program that does not know the last one refuses the message.
constexpr uint8_t kNoLabels = 0, kLabels = 1, kLabelsOfManyClasses = 2;

Status Wrong(std::string_view field, std::string_view why) {
  return InvalidArgumentError(StrCat(field, ": ", why));
}

uint64_t ReadCount(ByteReader& from) {
  const uint64_t count = from.Varint();
  if (count > kMaxCount) from.Fail();
  return count;
}

double ReadAmount(double most, ByteReader& from) {
  const double amount = from.Double();
  if (!(amount >= 0 && amount <= most)) from.Fail();
  return amount;
}

/// How many are not 0, then each with its distance from the one before.
void WriteSparse(std::span<const uint64_t> counts, ByteWriter& to) {
  to.Varint(static_cast<uint64_t>(
      std::count_if(counts.begin(), counts.end(), [](uint64_t count) { return count > 0; })));
  size_t next = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    to.Varint(i - next);
    to.Varint(counts[i]);
    next = i + 1;
  }
}

void ReadSparse(std::span<uint64_t> counts, ByteReader& from) {
  const uint64_t used = from.Varint();
  size_t next = 0;
  for (uint64_t i = 0; i < used && from.ok(); ++i) {
    const uint64_t skipped = from.Varint();
    const uint64_t count = ReadCount(from);
    if (next >= counts.size() || skipped >= counts.size() - next || count == 0) {
      from.Fail();
      return;
    }
    next += skipped;
    counts[next++] = count;
  }
}

uint64_t Sum(std::span<const uint64_t> counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

Status ReadRequests(ObservedTotals& requests, ByteReader& from) {
  for (uint64_t& count : requests.requests) count = ReadCount(from);
  if (!from.ok()) return Wrong("requests", "must be five counts of at most 2^48");
  ReadSparse(requests.latency, from);
  ReadSparse(requests.fine_latency, from);
  requests.latency_seconds = ReadAmount(kMaxSeconds, from);
  if (!from.ok()) return Wrong("latency", "cannot be read as histograms and their sum");
  const uint64_t timed = Sum(requests.latency);
  if (timed != Sum(requests.fine_latency)) return Wrong("latency", "its histograms differ");
  if (timed > requests.of(ObservedOutcome::kOk) + requests.of(ObservedOutcome::kUnknown))
    return Wrong("latency", "has more requests than have not failed");
  return OkStatus();
}

Status ReadClasses(IntervalProfile& profile, ByteReader& from) {
  const uint64_t names = from.Varint();
  if (!from.ok() || names > ClassTable::kMaxClasses)
    return Wrong("classes", StrCat("must be at most ", ClassTable::kMaxClasses));
  for (uint64_t i = 0; i < names; ++i) {
    std::string name(from.Text(kMaxEventText));
    const uint64_t count = ReadCount(from);
    if (!from.ok() || name.empty() || count == 0)
      return Wrong(StrCat("classes[", i, "]"), StrCat("must be a name of at most ", kMaxEventText,
                                                      " bytes and a count from 1"));
    profile.classes.emplace_back(std::move(name), count);
  }
  profile.other_classes = ReadCount(from);
  return from.ok() ? OkStatus() : Wrong("other_classes", "must be a count of at most 2^48");
}

Status ReadContent(ContentProfile& content, ByteReader& from) {
  ReadSparse(content.scores, from);
  content.score_sum = from.Double();
  const double most = static_cast<double>(content.scored()) * std::numeric_limits<float>::max();
  if (!from.ok() || !(std::fabs(content.score_sum) <= most))
    return Wrong("scores", "cannot be read as a histogram and its sum");
  const uint64_t features = from.Varint();
  if (!from.ok() || features > ContentProfile::kMaxFeatures)
    return Wrong("features", StrCat("must be at most ", ContentProfile::kMaxFeatures));
  for (uint64_t i = 0; i < features; ++i) {
    content.features.emplace_back().Read(from);
    if (!from.ok()) return Wrong(StrCat("features[", i, "]"), "cannot be read as a profile");
  }
  return OkStatus();
}

Status ReadVariety(ContentProfile& content, ByteReader& from) {
  const uint64_t varied = from.Varint();
  if (!from.ok() || varied > std::min(content.features.size(), ContentProfile::kMaxVaried))
    return Wrong("variety", StrCat("must be of at most ", ContentProfile::kMaxVaried, " features"));
  for (uint64_t i = 0; i < varied; ++i) {
    if (!content.variety.emplace_back().Parse(from.Text(ValueVariety::kMostBytes)))
      return Wrong(StrCat("variety[", i, "]"), "cannot be read as what values there were");
  }
  return OkStatus();
}

Status ReadLabels(IntervalProfile& profile, ByteReader& from) {
  QualityTotals& quality = profile.quality;
  quality.labelled = ReadAmount(static_cast<double>(kMaxCount), from);
  quality.wrong = ReadAmount(quality.labelled, from);
  quality.labelled_requests = ReadCount(from);
  quality.wrong_requests = ReadCount(from);
  if (!from.ok() || quality.wrong_requests > quality.labelled_requests)
    return Wrong("labels", "must be labelled rows and requests, and of these the wrong ones");
  const uint8_t more = from.Byte();
  if (more == kLabels || more == kLabelsOfManyClasses) {
    auto labels = std::make_shared<VersionQuality>();
    labels->Read(from);
    if (more == kLabelsOfManyClasses) labels->ReadManyClasses(from);
    profile.labels = std::move(labels);
  }
  if (!from.ok() || more > kLabelsOfManyClasses)
    return Wrong("labels", "cannot be read as what they tell");
  return OkStatus();
}

}  // namespace

void IntervalProfile::Write(ByteWriter& to) const {
  to.Text(model);
  to.Varint(static_cast<uint64_t>(version));
  for (uint64_t count : requests.requests) to.Varint(count);
  WriteSparse(requests.latency, to);
  WriteSparse(requests.fine_latency, to);
  to.Double(requests.latency_seconds);
  to.Varint(classes.size());
  for (const auto& [name, count] : classes) {
    to.Text(CutUtf8(name, kMaxEventText));  // a redaction may have made it longer
    to.Varint(count);
  }
  to.Varint(other_classes);
  WriteSparse(content.scores, to);
  to.Double(content.score_sum);
  to.Varint(content.features.size());
  for (const FeatureProfile& feature : content.features) feature.Write(to);
  to.Varint(content.variety.size());
  for (const ValueVariety& variety : content.variety) to.Text(variety.ToBytes());
  to.Double(quality.labelled);
  to.Double(quality.wrong);
  to.Varint(quality.labelled_requests);
  to.Varint(quality.wrong_requests);
  const bool many = labels && labels->many_classes() != nullptr;
  to.Byte(many ? kLabelsOfManyClasses : labels ? kLabels : kNoLabels);
  if (labels) labels->Write(to);
  if (many) labels->WriteManyClasses(to);
}

Status IntervalProfile::Read(ByteReader& from, bool with_variety) {
  *this = {};
  model = from.Text(kMaxEventText);
  if (!from.ok() || model.empty())
    return Wrong("model", StrCat("must be a name of 1 to ", kMaxEventText, " bytes"));
  const uint64_t number = from.Varint();
  if (!from.ok() || number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return Wrong("version", "must be a whole number from 0");
  version = static_cast<int64_t>(number);
  RETURN_IF_ERROR(ReadRequests(requests, from));
  RETURN_IF_ERROR(ReadClasses(*this, from));
  RETURN_IF_ERROR(ReadContent(content, from));
  if (with_variety) RETURN_IF_ERROR(ReadVariety(content, from));
  return ReadLabels(*this, from);
}

}  // namespace leadsman
