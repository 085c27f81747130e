#include "monitor/drift/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/strings.h"
#include "math/byte_form.h"
#include "math/independence.h"

namespace leadsman {
namespace {

constexpr char kKind = 'F';
constexpr uint8_t kVersion = 1;
constexpr size_t kLongestName = 512;
constexpr size_t kLongestSketch = 64 << 10;
constexpr size_t kMaxStreams = 2 * Reference::kMaxNumbers + Reference::kMaxClassStreams + 2;
/// More different answers than this are no classes: ids, or values.
constexpr size_t kMaxClasses = 128;
/// Fewer blocks tell nothing about the memory of the rows.
constexpr size_t kFewestForMemory = 25;
constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

double Share(uint64_t part, uint64_t of) {
  return of > 0 ? static_cast<double>(part) / static_cast<double>(of) : 0;
}

double MeanOf(const BlockSums::Number& n) { return n.finite > 0 ? n.sum / n.finite : kNothing; }

double VarianceOf(const BlockSums::Number& n) {
  if (n.finite == 0) return kNothing;
  double mean = n.sum / n.finite;
  return std::max(0.0, n.squares / n.finite - mean * mean);
}

void Summarise(ReferenceStream& stream) {
  double sum = 0, squares = 0, n = 0;
  for (double block : stream.blocks) n += std::isfinite(block) ? 1 : 0;
  for (double block : stream.blocks) sum += std::isfinite(block) ? block : 0;
  stream.centre = n > 0 ? sum / n : 0;
  for (double block : stream.blocks) {
    if (std::isfinite(block)) squares += (block - stream.centre) * (block - stream.centre);
  }
  stream.deviation = n > 1 ? std::sqrt(squares / (n - 1)) : 0;
}

}  // namespace

std::string_view ReferenceFromName(ReferenceFrom from) {
  switch (from) {
    case ReferenceFrom::kFile:
      return "file";
    case ReferenceFrom::kStable:
      return "stable";
    case ReferenceFrom::kWindow:
      return "window";
    case ReferenceFrom::kFirstRequests:
      break;
  }
  return "first_requests";
}

void BlockSums::AddClass(size_t index) {
  if (index >= classes.size()) classes.resize(index + 1);
  ++classes[index];
  ++answers;
}

void BlockSums::Number::Merge(const Number& other) {
  sum += other.sum;
  squares += other.squares;
  finite += other.finite;
}

void BlockSums::Merge(const BlockSums& other) {
  rows += other.rows;
  answers += other.answers;
  numbers.resize(std::max(numbers.size(), other.numbers.size()));
  for (size_t i = 0; i < other.numbers.size(); ++i) numbers[i].Merge(other.numbers[i]);
  classes.resize(std::max(classes.size(), other.classes.size()));
  for (size_t i = 0; i < other.classes.size(); ++i) classes[i] += other.classes[i];
}

void BlockSums::Clear() {
  rows = answers = 0;
  std::fill(numbers.begin(), numbers.end(), Number{});
  std::fill(classes.begin(), classes.end(), 0);
}

double ReferenceNumber::missing_share() const { return Share(missing, missing + sketch.count()); }

uint64_t Reference::answers() const {
  return std::accumulate(class_counts.begin(), class_counts.end(), uint64_t{0});
}

std::string Reference::StreamName(const ReferenceStream& stream) const {
  using Kind = ReferenceStream::Kind;
  switch (stream.kind) {
    case Kind::kMean:
      return numbers[stream.of].name;
    case Kind::kSpread:
      return numbers[stream.of].name + ".spread";
    case Kind::kShare:
      return "class " + classes[stream.of];
    case Kind::kOthers:
      return "other classes";
    case Kind::kMissing:
      break;
  }
  return "missing";
}

double Reference::ValueOf(const ReferenceStream& stream, const BlockSums& sums,
                          std::span<const uint8_t> unmet) const {
  using Kind = ReferenceStream::Kind;
  switch (stream.kind) {
    case Kind::kMean:
      return MeanOf(sums.numbers[stream.of]) + numbers[stream.of].shift;
    case Kind::kSpread: {
      // A block that is constant has no logarithm of its spread; it is far below all others.
      double sigma = std::sqrt(VarianceOf(sums.numbers[stream.of]));
      double least = std::max(numbers[stream.of].sigma * 1e-3, 1e-30);
      return std::isnan(sigma) ? kNothing : std::log(std::max(sigma, least));
    }
    case Kind::kMissing: {
      double most = kNothing;
      for (size_t i = 0; i < numbers.size() && sums.rows > 0; ++i) {
        if (i < unmet.size() && unmet[i] != 0) continue;
        double above = 1 - Share(sums.numbers[i].finite, sums.rows) - numbers[i].missing_share();
        most = std::isnan(most) ? above : std::max(most, above);
      }
      return most;
    }
    case Kind::kShare:
      if (sums.answers == 0) return kNothing;
      return stream.of < sums.classes.size() ? Share(sums.classes[stream.of], sums.answers) : 0;
    case Kind::kOthers: {
      if (sums.answers == 0) return kNothing;
      uint64_t named = 0;
      size_t own = std::min({kMaxClassStreams, classes.size(), sums.classes.size()});
      for (size_t i = 0; i < own; ++i) named += sums.classes[i];
      return Share(sums.answers - named, sums.answers);
    }
  }
  return kNothing;
}

std::string Reference::ToBytes() const {
  ByteWriter out(kKind, kVersion);
  out.Byte(static_cast<uint8_t>(from));
  out.Byte(wide ? 1 : 0);
  out.Fixed64(static_cast<uint64_t>(taken_ms));
  out.Varint(rows);
  out.Varint(block_rows);
  out.Varint(numbers.size());
  for (const ReferenceNumber& n : numbers) {
    out.Text(n.name.substr(0, kLongestName));
    for (double value : {n.mean, n.sigma, n.memory, n.shift}) out.Double(value);
    out.Varint(n.missing);
    out.Text(n.sketch.ToBytes());
    out.Text(n.bins.ToBytes());
  }
  out.Varint(classes.size());
  for (size_t i = 0; i < classes.size(); ++i) {
    out.Text(classes[i].substr(0, kLongestName));
    out.Varint(class_counts[i]);
  }
  out.Varint(streams.size());
  for (const ReferenceStream& s : streams) {
    out.Byte(static_cast<uint8_t>(s.kind));
    out.Varint(s.of);
    out.Varint(s.blocks.size());
    for (double block : s.blocks) {
      out.Byte(std::isfinite(block) ? 1 : 0);
      if (std::isfinite(block)) out.Double(block);
    }
  }
  return std::move(out).Take();
}

namespace {

double ReadFinite(ByteReader& in, double least = -std::numeric_limits<double>::max()) {
  double value = in.Double();
  if (!std::isfinite(value) || value < least) in.Fail();
  return in.ok() ? value : 0;
}

void ReadNumber(ByteReader& in, ReferenceNumber& n) {
  n.name = in.Text(kLongestName);
  n.mean = ReadFinite(in);
  n.sigma = ReadFinite(in, 0);
  n.memory = ReadFinite(in, 1);
  n.shift = ReadFinite(in);
  n.missing = in.Varint();
  auto sketch = QuantileSketch::Parse(in.Text(kLongestSketch));
  auto bins = ReferenceBins::Parse(in.Text(kLongestSketch));
  if (!sketch || !bins || n.missing > UINT64_MAX / 4) return in.Fail();
  n.sketch = std::move(*sketch);
  n.bins = *bins;
  n.counts = n.bins.Count(n.sketch);
  n.counts.AddMissing(n.missing);
}

void ReadStream(ByteReader& in, const Reference& reference, ReferenceStream& s) {
  using Kind = ReferenceStream::Kind;
  uint8_t kind = in.Byte();
  uint64_t of = in.Varint();
  uint64_t size = in.Varint();
  s.kind = static_cast<Kind>(kind);
  bool of_number = s.kind == Kind::kMean || s.kind == Kind::kSpread;
  size_t room = of_number ? reference.numbers.size()
                          : (s.kind == Kind::kShare ? reference.classes.size() : 1);
  if (kind > static_cast<uint8_t>(Kind::kOthers) || of >= room || size > Reference::kMaxBlocks) {
    return in.Fail();
  }
  s.of = static_cast<uint32_t>(of);
  for (uint64_t i = 0; in.ok() && i < size; ++i) {
    uint8_t there = in.Byte();
    if (there > 1) in.Fail();
    s.blocks.push_back(there == 1 ? ReadFinite(in) : kNothing);
  }
  Summarise(s);
  if (!std::isfinite(s.centre) || !std::isfinite(s.deviation)) in.Fail();
}

}  // namespace

std::optional<Reference> Reference::Parse(std::string_view bytes) {
  ByteReader in(bytes, kKind, kVersion);
  Reference r;
  uint8_t from = in.Byte();
  uint8_t wide = in.Byte();
  if (from > static_cast<uint8_t>(ReferenceFrom::kWindow) || wide > 1) in.Fail();
  r.from = static_cast<ReferenceFrom>(from);
  r.wide = wide == 1;
  r.taken_ms = static_cast<int64_t>(in.Fixed64());
  r.rows = in.Varint();
  uint64_t block_rows = in.Varint();
  uint64_t numbers = in.Varint();
  if (block_rows == 0 || block_rows > UINT32_MAX / 2 || numbers > kMaxNumbers) in.Fail();
  r.block_rows = static_cast<uint32_t>(block_rows);
  for (uint64_t i = 0; in.ok() && i < numbers; ++i) ReadNumber(in, r.numbers.emplace_back());
  uint64_t classes = in.Varint();
  if (classes > kMaxClasses) in.Fail();
  for (uint64_t i = 0; in.ok() && i < classes; ++i) {
    r.classes.emplace_back(in.Text(kLongestName));
    r.class_counts.push_back(in.Varint());
    if (r.class_counts.back() > UINT64_MAX / 4 / kMaxClasses) in.Fail();
  }
  uint64_t streams = in.Varint();
  if (streams > kMaxStreams) in.Fail();
  for (uint64_t i = 0; in.ok() && i < streams; ++i) {
    ReadStream(in, r, r.streams.emplace_back());
  }
  if (!in.Finished()) return std::nullopt;
  return r;
}

ReferenceBuilder::ReferenceBuilder(std::vector<std::string> names) {
  if (names.size() > Reference::kMaxNumbers) names.resize(Reference::kMaxNumbers);
  for (std::string& name : names) {
    numbers_.emplace_back().name = std::move(name);
  }
  open_.numbers.resize(numbers_.size());
}

void ReferenceBuilder::Add(std::span<const float> numbers,
                           std::span<const std::string_view> classes) {
  ++rows_;
  ++open_.rows;
  for (size_t i = 0; i < numbers_.size(); ++i) {
    Number& n = numbers_[i];
    float value = i < numbers.size() ? numbers[i] : std::numeric_limits<float>::quiet_NaN();
    if (!std::isfinite(value)) {
      ++n.missing;
      continue;
    }
    if (!n.begun) {
      n.begun = true;
      n.shift = value;
    }
    n.sketch.Add(value);
    double d = value - n.shift;
    BlockSums::Number& sums = open_.numbers[i];
    sums.sum += d;
    sums.squares += d * d;
    ++sums.finite;
  }
  for (std::string_view name : classes) open_.AddClass(classes_.IndexOf(name));
  if (open_.rows >= block_rows_) CloseBlock();
}

void ReferenceBuilder::Widen(const std::vector<std::string>& names) {
  const size_t size = std::min(names.size(), Reference::kMaxNumbers);
  for (size_t i = numbers_.size(); i < size; ++i) {
    Number& n = numbers_.emplace_back();
    n.name = names[i];
    n.missing = rows_;
  }
  open_.numbers.resize(numbers_.size());
  for (BlockSums& block : blocks_) block.numbers.resize(numbers_.size());
}

void ReferenceBuilder::CloseBlock() {
  blocks_.push_back(open_);
  open_.Clear();
  if (blocks_.size() < Reference::kMaxBlocks) return;
  for (size_t i = 0; i < blocks_.size() / 2; ++i) {
    blocks_[2 * i].Merge(blocks_[2 * i + 1]);
    if (i > 0) blocks_[i] = std::move(blocks_[2 * i]);
  }
  blocks_.resize(blocks_.size() / 2);
  block_rows_ *= 2;
}

/// By batch means: n times the variance of the means of n rows is the variance of a row times its
/// memory, once n is well above it; of the lengths that leave enough blocks the largest counts.
double ReferenceBuilder::MemoryOf(size_t number) const {
  double memory = 1;
  for (size_t together = 1; blocks_.size() / together >= kFewestForMemory; together *= 2) {
    double sum = 0, squares = 0, n = 0, within = 0, all = 0, rows = 0;
    for (size_t i = 0; i + together <= blocks_.size(); i += together) {
      BlockSums::Number b;
      for (size_t k = 0; k < together; ++k) b.Merge(blocks_[i + k].numbers[number]);
      if (b.finite == 0) continue;
      double mean = MeanOf(b);
      sum += mean;
      squares += mean * mean;
      within += b.squares;
      all += b.sum;
      rows += b.finite;
      ++n;
    }
    if (n < kFewestForMemory) break;
    double variance = within / rows - (all / rows) * (all / rows);
    double of_means = (squares - sum * sum / n) / (n - 1);
    if (variance > 0) memory = std::max(memory, rows / n * of_means / variance);
  }
  return memory;
}

Reference ReferenceBuilder::Build(ReferenceFrom from, int64_t now_ms) const {
  using Kind = ReferenceStream::Kind;
  Reference r;
  r.from = from;
  r.taken_ms = now_ms;
  r.rows = rows_;
  BlockSums whole = open_;
  for (const BlockSums& block : blocks_) whole.Merge(block);
  double longest = 1;
  for (size_t i = 0; i < numbers_.size(); ++i) {
    const Number& from_number = numbers_[i];
    ReferenceNumber& n = r.numbers.emplace_back();
    n.name = from_number.name;
    n.shift = from_number.shift;
    n.missing = from_number.missing;
    if (whole.numbers[i].finite > 0) {
      n.mean = MeanOf(whole.numbers[i]) + n.shift;
      n.sigma = std::sqrt(VarianceOf(whole.numbers[i]));
    }
    n.memory = MemoryOf(i);
    n.sketch = from_number.sketch;
    n.bins = ReferenceBins::FromSketch(n.sketch);
    n.counts = n.bins.Count(n.sketch);
    n.counts.AddMissing(n.missing);
    longest = std::max(longest, n.memory);
  }

  // Classes in order of their frequency; `place[old]` is where the class now stands.
  std::vector<size_t> order(std::min(classes_.size(), whole.classes.size()));
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return whole.classes[a] > whole.classes[b]; });
  const bool has_classes = !order.empty() && order.size() <= kMaxClasses;
  std::vector<size_t> place(ClassTable::kMaxClasses + 1, order.size());
  for (size_t i = 0; has_classes && i < order.size(); ++i) {
    place[order[i]] = i;
    r.classes.push_back(classes_.name(order[i]));
    r.class_counts.push_back(whole.classes[order[i]]);
  }

  size_t wanted = BlockLength(longest, kFewestRows);
  size_t together = std::max<size_t>(1, (wanted + block_rows_ - 1) / block_rows_);
  together = std::max<size_t>(1, std::min(together, blocks_.size() / 2));
  r.block_rows = static_cast<uint32_t>(together * block_rows_);
  for (uint32_t i = 0; i < r.numbers.size(); ++i) {
    if (r.numbers[i].sketch.count() == 0) continue;
    r.streams.push_back({Kind::kMean, i, {}, 0, 0});
    r.streams.push_back({Kind::kSpread, i, {}, 0, 0});
  }
  if (!r.numbers.empty()) r.streams.push_back({Kind::kMissing, 0, {}, 0, 0});
  for (uint32_t i = 0; i < std::min(r.classes.size(), Reference::kMaxClassStreams); ++i) {
    r.streams.push_back({Kind::kShare, i, {}, 0, 0});
  }
  if (has_classes) r.streams.push_back({Kind::kOthers, 0, {}, 0, 0});
  // One block at a time: all of them are megabytes.
  BlockSums block, placed;
  placed.classes.resize(r.classes.size() + 1);
  for (size_t i = 0; i + together <= blocks_.size(); i += together) {
    block.Clear();
    for (size_t k = 0; k < together; ++k) block.Merge(blocks_[i + k]);
    std::swap(placed.numbers, block.numbers);
    placed.rows = block.rows;
    placed.answers = block.answers;
    std::fill(placed.classes.begin(), placed.classes.end(), 0);
    for (size_t c = 0; has_classes && c < block.classes.size(); ++c) {
      placed.classes[place[c]] += block.classes[c];
    }
    for (ReferenceStream& stream : r.streams) stream.blocks.push_back(r.ValueOf(stream, placed));
    std::swap(placed.numbers, block.numbers);
  }
  for (ReferenceStream& stream : r.streams) Summarise(stream);
  return r;
}

}  // namespace leadsman
