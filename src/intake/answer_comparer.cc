#include "intake/answer_comparer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "events/event_text.h"
#include "intake/binary_tensor.h"
#include "intake/payload.h"
#include "intake/payload_json.h"
#include "intake/plain_body.h"

namespace leadsman::intake {
namespace {

using namespace payload_json;  // NOLINT(google-build-using-namespace): of these readers
using Kind = AnswerDifference::Kind;

constexpr size_t kDeepest = 64;
constexpr size_t kMostLookups =
    256;                         // members of an object, or tensors, that stand in another order
constexpr size_t kBlock = 1024;  // values of a tensor that are read at a time

/// Where the answers of model servers have their outputs.
constexpr std::array<std::string_view, 4> kContainers = {"predictions", "results", "outputs",
                                                         "data"};
/// Where those of hand-written services have them.
constexpr std::array<std::string_view, 13> kPlainParts = {
    "prediction",  "predicted",     "output", "result", "label",  "class",     "predicted_label",
    "probability", "probabilities", "proba",  "score",  "scores", "confidence"};

struct Tensor {
  std::string_view name, datatype;
  std::optional<dom::element> shape, data;
  std::string_view bytes;  ///< where there is no `data`
};

/// The part of an answer that is compared.
struct Outputs {
  std::vector<std::pair<std::string_view, dom::element>> parts;
  std::vector<Tensor> tensors;
};

/// A number that no double may be able to hold.
struct Integer {
  bool negative = false;
  uint64_t bits = 0;  ///< of a negative one, its two's complement
  bool operator==(const Integer&) const = default;
};

struct Value {
  double number = std::numeric_limits<double>::quiet_NaN();
  bool whole = false;  ///< it is of a type that holds no fractions
  std::optional<Integer> integer;
  std::optional<std::string_view> text;
};

/// As it is written: 1.0 is none.
std::optional<Integer> IntegerOf(dom::element element) {
  int64_t number = 0;
  uint64_t large = 0;
  if (element.get_int64().get(number) == SUCCESS)
    return Integer{number < 0, static_cast<uint64_t>(number)};
  if (element.get_uint64().get(large) == SUCCESS) return Integer{false, large};
  return std::nullopt;
}

std::optional<std::string_view> TextOf(dom::element element) {
  std::string_view text;
  if (element.get_string().get(text) != SUCCESS) return std::nullopt;
  return text;
}

/// False when it cannot be what it says.
bool ReadTensors(dom::array list, std::string_view behind, std::vector<Tensor>& tensors) {
  for (dom::element element : list) {
    const std::optional<dom::object> json = ObjectOf(element);
    if (!json) return false;
    Tensor tensor;
    const std::optional<dom::element> name = Member(*json, "name");
    if (name) tensor.name = TextOf(*name).value_or("");
    tensor.datatype = DatatypeOf(*json);
    tensor.shape = Member(*json, "shape");
    tensor.data = Member(*json, "data");
    if (!tensor.data && !TakeBehind(*json, behind, tensor.bytes)) return false;
    tensors.push_back(tensor);
  }
  return true;
}

/// False when there is nothing that can be taken for outputs.
bool ReadOutputs(dom::element root, std::string_view behind, Outputs& outputs) {
  const std::optional<dom::object> object = ObjectOf(root);
  if (!object) {
    outputs.parts.emplace_back("", root);  // a list of them, or the one there is
    return true;
  }
  if (const auto tensors = TensorsOf(*object, "outputs"))
    return ReadTensors(*tensors, behind, outputs.tensors);
  for (std::string_view name : kContainers) {
    const auto container = Member(*object, name);
    if (!container || !IsNested(*container)) continue;
    outputs.parts.emplace_back(name, *container);
    return true;
  }
  for (std::string_view name : kPlainParts) {
    if (const auto part = Member(*object, name)) outputs.parts.emplace_back(name, *part);
  }
  return !outputs.parts.empty();
}

/// Of V2's data types; 0: values have a length of their own, or it is none.
size_t WidthOf(std::string_view datatype) {
  if (datatype == "BOOL") return 1;
  const size_t digits = datatype.find_first_of("0123456789");
  if (digits == std::string_view::npos) return 0;
  return static_cast<size_t>(ParseInt64(datatype.substr(digits)).value_or(0)) / 8;
}

bool HoldsFractions(std::string_view datatype) {
  return datatype.find("FP") != std::string_view::npos || datatype == "BF16";
}

/// The values of a tensor one after the other, however they are written, with little memory however many there are.
class Values {
 public:
  explicit Values(const Tensor& tensor)
      : tensor_(tensor),
        whole_(tensor.datatype.find("INT") != std::string_view::npos || tensor.datatype == "BOOL"),
        bytes_(tensor.bytes) {
    if (!tensor.data) {
      failed_ = bytes_.empty();  // they stand elsewhere
    } else if (const auto list = ArrayOf(tensor.data)) {
      levels_.push_back({list->begin(), list->end()});
    } else {
      single_ = tensor.data;
    }
  }

  /// Null at the end; valid until the next call.
  const Value* Next() {
    if (at_ == block_.size()) {
      block_.clear();
      at_ = 0;
      if (tensor_.data) {
        ReadJson();
      } else {
        ReadBytes();
      }
    }
    return at_ < block_.size() ? &block_[at_++] : nullptr;
  }
  /// Some of them cannot be read.
  bool failed() const { return failed_; }

 private:
  struct Level {
    dom::array::iterator at, end;
  };

  std::optional<dom::element> NextElement() {
    if (single_) return std::exchange(single_, std::nullopt);
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (!(level.at != level.end)) {
        levels_.pop_back();
        continue;
      }
      const dom::element element = *level.at;
      ++level.at;
      const auto list = ArrayOf(element);
      if (!list) return element;
      if (levels_.size() == kDeepest) break;
      levels_.push_back({list->begin(), list->end()});
    }
    failed_ = failed_ || !levels_.empty();
    return std::nullopt;
  }
  void ReadJson() {
    while (block_.size() < kBlock) {
      const auto element = NextElement();
      if (!element) return;
      failed_ = failed_ || IsNested(*element);
      block_.push_back({NumberOf(*element).value_or(Value().number), whole_, IntegerOf(*element),
                        TextOf(*element)});
    }
  }
  void ReadBytes() {
    const size_t width = WidthOf(tensor_.datatype);
    const std::string_view bytes = width > 0 ? bytes_.substr(0, width * kBlock) : bytes_;
    size_t taken = 0;
    const bool read = VisitBinary(tensor_.datatype, bytes, [&](const BinaryValue& value) {
      Value& kept = block_.emplace_back();
      kept.whole = whole_;
      if (value.kind == BinaryValue::Kind::kText) {
        kept.text = value.text;
        taken += sizeof(uint32_t) + value.text.size();
      } else {
        kept.number = value.number;
        taken += width;
        if (whole_ && tensor_.datatype != "BOOL")
          kept.integer = Integer{value.kind == BinaryValue::Kind::kWhole && value.whole < 0,
                                 static_cast<uint64_t>(value.whole)};
      }
      return block_.size() < kBlock;
    });
    failed_ = failed_ || !read || (width > 0 && bytes.size() % width != 0);
    bytes_ = read ? bytes_.substr(taken) : std::string_view();
  }

  const Tensor& tensor_;
  const bool whole_;
  std::string_view bytes_;  ///< that are not read yet
  std::vector<Level> levels_;
  std::optional<dom::element> single_;
  std::vector<Value> block_;
  size_t at_ = 0;  ///< in the block
  bool failed_ = false;
};

/// A value and no class.
bool IsFraction(std::string_view text) {
  return text.find_first_of(".eEnN") != std::string_view::npos && ParseDouble(text).has_value();
}

bool IsFlip(std::string_view live, std::string_view shadow) {
  return live != shadow && !IsFraction(live) && !IsFraction(shadow);
}

/// What has been found so far.
class Findings {
 public:
  explicit Findings(double tolerance) : tolerance_(tolerance) {}

  /// Something else than a number.
  void Differ() { differs_ = true; }
  /// Of two predictions of a row.
  void Classes(uint32_t row, std::string_view live, std::string_view shadow) {
    live = live.substr(0, kMaxEventText);
    shadow = shadow.substr(0, kMaxEventText);
    if (IsFlip(live, shadow)) flips_.emplace_back(row, shadow);
    ++rows_;
    if (live.empty() || shadow.empty() || IsFraction(live) || IsFraction(shadow)) MissRow();
  }
  /// There is a row whose classes were not compared.
  void MissRow() { missed_row_ = true; }

  /// `whole`: both are classes, counts or the like, and close to none but themselves.
  void Numbers(double a, double b, bool whole = false) {
    const bool none = std::isnan(a) && std::isnan(b);
    compared_ = compared_ || (!whole && !none);
    if (a == b || none) return;
    if (whole) return Differ();
    numbers_ = true;
    const double difference = std::abs(a - b);
    if (!std::isfinite(difference)) {
      largest_ = std::numeric_limits<double>::infinity();
      beyond_ = true;
      return;
    }
    largest_ = std::max(largest_, difference);
    beyond_ = beyond_ || difference > tolerance_ * std::max({1.0, std::abs(a), std::abs(b)});
  }
  void Texts(std::string_view a, std::string_view b) {
    const auto x = ParseDouble(a);
    const auto y = ParseDouble(b);
    if (x && y && (IsFraction(a) || IsFraction(b))) return Numbers(*x, *y);
    if (a != b) Differ();
  }
  void Integers(const Integer& a, const Integer& b) {
    if (a != b) Differ();
  }
  void OneValue(const Value& a, const Value& b) {
    const bool whole = a.whole && b.whole;
    if (whole && a.integer && b.integer) return Integers(*a.integer, *b.integer);
    if (!a.text && !b.text) return Numbers(a.number, b.number, whole);
    if (a.text != b.text) Differ();
  }

  void Elements(dom::element a, dom::element b, size_t depth) {
    if (depth == 0) return Differ();
    if (a.is_number() && b.is_number()) {
      const auto x = IntegerOf(a), y = IntegerOf(b);
      return x && y ? Integers(*x, *y) : Numbers(*NumberOf(a), *NumberOf(b));
    }
    if (a.type() != b.type()) return Differ();
    switch (a.type()) {
      case dom::element_type::ARRAY:
        return Arrays(*ArrayOf(a), *ArrayOf(b), depth);
      case dom::element_type::OBJECT:
        return Objects(*ObjectOf(a), *ObjectOf(b), depth);
      case dom::element_type::STRING:
        if (*TextOf(a) != *TextOf(b)) Differ();
        return;
      case dom::element_type::BOOL:
        if (*NumberOf(a) != *NumberOf(b)) Differ();
        return;
      default:
        return;  // null
    }
  }
  void Tensors(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
    if (a.size() != b.size()) return Differ();
    for (size_t i = 0; i < a.size(); ++i) {
      const Tensor* other = &b[i];
      if (other->name != a[i].name) {
        if (b.size() > kMostLookups) return Differ();
        const auto at = std::find_if(b.begin(), b.end(),
                                     [&](const Tensor& one) { return one.name == a[i].name; });
        if (at == b.end()) return Differ();
        other = &*at;
      }
      OneTensor(a[i], *other);
    }
  }

  AnswerDifference Get() {
    AnswerDifference difference;
    if (compared_) difference.largest = largest_;
    difference.flips = std::move(flips_);
    difference.classes_compared = rows_ > 0 && !missed_row_;
    if (!difference.flips.empty()) {
      difference.kind = Kind::kClassFlip;
    } else if (differs_ || beyond_) {
      difference.kind = Kind::kDiffers;
    } else if (numbers_) {
      difference.kind = Kind::kWithinTolerance;
    }
    return difference;
  }
  bool none() const { return flips_.empty() && !differs_ && !numbers_; }

 private:
  void Arrays(dom::array a, dom::array b, size_t depth) {
    auto x = a.begin();
    auto y = b.begin();
    for (; x != a.end() && y != b.end(); ++x, ++y) Elements(*x, *y, depth - 1);
    if (x != a.end() || y != b.end()) Differ();
  }
  void Objects(dom::object a, dom::object b, size_t depth) {
    auto y = b.begin();
    size_t members = 0;
    for (auto member : a) {
      if (!(y != b.end())) return Differ();
      const auto beside = *y;
      dom::element other = beside.value;
      const bool found = beside.key == member.key ||
                         (++members <= kMostLookups && b[member.key].get(other) == SUCCESS);
      if (!found) return Differ();
      Elements(member.value, other, depth - 1);
      ++y;
    }
    if (y != b.end()) Differ();
  }
  void OneTensor(const Tensor& a, const Tensor& b) {
    if (a.shape.has_value() != b.shape.has_value()) return Differ();
    if (a.shape) Elements(*a.shape, *b.shape, kDeepest);
    if (!a.data && !b.data && a.datatype == b.datatype && a.bytes == b.bytes) {
      compared_ = compared_ || (HoldsFractions(a.datatype) && !a.bytes.empty());
      return;
    }
    Values x(a), y(b);
    for (;;) {
      const Value* const one = x.Next();
      const Value* const other = y.Next();
      if (x.failed() || y.failed() || (one == nullptr) != (other == nullptr)) return Differ();
      if (one == nullptr) return;
      OneValue(*one, *other);
    }
  }

  const double tolerance_;
  double largest_ = 0;
  bool compared_ = false;  ///< there are numbers with fractions
  bool numbers_ = false;   ///< some are not the same
  bool beyond_ = false;    ///< the tolerance
  bool differs_ = false;
  uint64_t rows_ = 0;  ///< whose classes were compared
  bool missed_row_ = false;
  std::vector<std::pair<uint32_t, std::string>> flips_;
};

std::vector<std::string_view> FieldsOf(std::string_view line) {
  std::vector<std::string_view> fields;
  VisitCsv(line, [&](std::string_view field) { fields.push_back(field); });
  return fields;
}

void CompareCsv(std::string_view live, std::string_view shadow, Findings& found) {
  const std::vector<std::string_view> a = CsvLines(live), b = CsvLines(shadow);
  if (a.size() != b.size()) return found.Differ();
  for (size_t i = 0; i < a.size(); ++i) {
    const std::vector<std::string_view> x = FieldsOf(a[i]), y = FieldsOf(b[i]);
    if (x.size() != y.size()) return found.Differ();
    for (size_t j = 0; j < x.size(); ++j) found.Texts(x[j], y[j]);
  }
}

void CompareParts(const Outputs& live, const Outputs& shadow, Findings& found) {
  if (live.parts.size() != shadow.parts.size()) found.Differ();
  const size_t parts = std::min(live.parts.size(), shadow.parts.size());
  for (size_t i = 0; i < parts; ++i) {
    if (live.parts[i].first != shadow.parts[i].first) return found.Differ();
    found.Elements(live.parts[i].second, shadow.parts[i].second, kDeepest);
  }
  found.Tensors(live.tensors, shadow.tensors);
}

}  // namespace

/// One of the two answers.
class AnswerComparer::Side {
 public:
  explicit Side(size_t max_body) : plain_(max_body, PlainBody::Side::kResponse) {}

  /// False: it cannot be had in plain.
  bool Take(const HttpBody& body) {
    type_ = body.content_type;
    return plain_.Read(body, counters_);
  }
  std::string_view text() const { return plain_.text(); }
  bool csv() const { return IsCsv(type_); }
  std::string_view id() const { return plain_.id(); }

  bool Read(Outputs& outputs) {
    if (!plain_.divided()) return false;
    const auto root = document_.Parse(plain_.json());
    return root && ReadOutputs(*root, plain_.behind(), outputs);
  }
  /// The class of each row, or its value.
  std::span<const std::string_view> Predicted() {
    const auto outputs = plain_.divided()
                             ? payload_.ReadOutputs(plain_.json(), type_, plain_.behind())
                             : std::nullopt;
    return outputs ? outputs->predicted : std::span<const std::string_view>();
  }

 private:
  PlainBody plain_;
  BodyCounters counters_;
  std::string_view type_;
  Document document_;
  PayloadReader payload_;
};

namespace {

/// What the fields of a route say of an answer.
struct Mapped {
  std::string predicted;
  std::optional<float> score;
};

std::optional<Mapped> ReadMapped(std::string_view text, LineParser& parser) {
  LogRecord record;
  const Verdict verdict = parser.Parse(Trim(text), record);
  if (verdict != Verdict::kRequest && verdict != Verdict::kOther) return std::nullopt;
  if (record.predicted.empty() && !record.score) return std::nullopt;
  return Mapped{std::string(record.predicted), record.score};
}

void CompareMapped(const Mapped& live, const Mapped& shadow, Findings& found) {
  found.Texts(live.predicted, shadow.predicted);
  found.Classes(0, live.predicted, shadow.predicted);
  if (live.score && shadow.score) return found.Numbers(*live.score, *shadow.score);
  if (live.score || shadow.score) found.Differ();
}

}  // namespace

AnswerComparer::AnswerComparer(size_t max_body)
    : live_(std::make_unique<Side>(max_body)), shadow_(std::make_unique<Side>(max_body)) {}
AnswerComparer::~AnswerComparer() = default;

/// Of the live answer with itself: 0, if it has such numbers.
std::optional<double> AnswerComparer::LargestOfEqual(LineParser* mapped) {
  Findings found(0);
  Outputs outputs;
  if (mapped != nullptr) {
    if (const auto fields = ReadMapped(live_->text(), *mapped))
      CompareMapped(*fields, *fields, found);
  } else if (live_->csv()) {
    CompareCsv(live_->text(), live_->text(), found);
  } else if (live_->Read(outputs)) {
    CompareParts(outputs, outputs, found);
  }
  return found.Get().largest;
}

AnswerDifference AnswerComparer::Compare(const HttpBody& live, const HttpBody& shadow,
                                         double tolerance, LineParser* mapped) {
  using State = HttpBody::State;
  live_id_ = {};
  if (live.call != GrpcMethod::kNone) mapped = nullptr;  // which says where things stand in JSON
  const auto lost = [](const HttpBody& body) {
    return body.state == State::kTooLong || body.state == State::kNoMemory;
  };
  if (lost(live) || lost(shadow)) return {.kind = Kind::kNotKept};
  if (live.state == State::kAbsent && shadow.state == State::kAbsent) return {};
  const bool same = live.state == shadow.state && live.body == shadow.body &&
                    EqualsIgnoreCase(live.content_encoding, shadow.content_encoding);
  const bool has_live = live_->Take(live);
  if (has_live) live_id_ = live_->id();
  if (same && !has_live) return {};  // of an encoding that nobody here knows
  const bool has_shadow = !same && shadow_->Take(shadow);
  if (!has_live) return {.kind = Kind::kNotUnderstood};
  if (same || (has_shadow && live_->text() == shadow_->text()))
    return {.largest = LargestOfEqual(mapped)};
  Findings found(tolerance);
  if (mapped != nullptr) {
    const auto a = ReadMapped(live_->text(), *mapped);
    if (!a) return {.kind = Kind::kNotUnderstood};
    const auto b = has_shadow ? ReadMapped(shadow_->text(), *mapped) : std::nullopt;
    if (!b) return {.kind = Kind::kDiffers};
    CompareMapped(*a, *b, found);
    return found.Get();
  }
  Outputs a, b;
  if (live_->csv()) {
    if (!has_shadow) return {.kind = Kind::kDiffers};
    CompareCsv(live_->text(), shadow_->text(), found);
  } else {
    if (!live_->Read(a)) return {.kind = Kind::kNotUnderstood};
    if (!has_shadow || !shadow_->Read(b)) return {.kind = Kind::kDiffers};
    CompareParts(a, b, found);
  }
  if (found.none()) return found.Get();
  const auto x = live_->Predicted(), y = shadow_->Predicted();
  for (uint32_t i = 0; i < std::min(x.size(), y.size()); ++i) found.Classes(i, x[i], y[i]);
  // Of as many rows as are told of there may be others.
  if (x.size() != y.size() || x.size() >= PayloadReader::kMaxPredictions) found.MissRow();
  return found.Get();
}

}  // namespace leadsman::intake
