#include "intake/payload.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "base/strings.h"
#include "events/row_score.h"
#include "intake/binary_tensor.h"
#include "intake/payload_json.h"

namespace leadsman::intake {
namespace {

using namespace payload_json;  // NOLINT(google-build-using-namespace): of these readers

constexpr size_t kMaxDepth = 64;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// A first line of names: it has a text where the second has a number.
bool HasHeader(std::span<const std::string_view> lines) {
  if (lines.size() < 2) return false;
  std::vector<bool> numbers;
  VisitCsv(lines[1], [&](std::string_view field) { numbers.push_back(!!ParseNumber(field)); });
  size_t at = 0;
  bool header = false;
  VisitCsv(lines[0], [&](std::string_view field) {
    header =
        header || (at < numbers.size() && numbers[at] && !field.empty() && !ParseNumber(field));
    ++at;
  });
  return header;
}

}  // namespace

class PayloadReader::Inputs {
 public:
  std::optional<PayloadInputs> Read(std::string_view body, std::string_view content_type,
                                    std::string_view behind) {
    values_.clear();
    behind_ = behind;
    names_.clear();
    rows_ = 0;
    cut_ = false;
    const bool read = IsCsv(content_type) ? ReadCsv(body) : ReadJson(body);
    if (!read) return std::nullopt;
    if (names_.size() != values_.size()) names_.clear();
    return PayloadInputs{rows_, values_, names_, cut_};
  }

 private:
  void Push(float value) {
    if (values_.size() == kMaxFeatures) {
      cut_ = true;
    } else {
      values_.push_back(value);
    }
  }
  void PushNamed(std::string_view name, dom::element value) {
    const size_t before = values_.size();
    AddValue(value, kMaxDepth);
    if (values_.size() == before + 1) names_.push_back(name);
  }
  void AddValue(dom::element element, size_t depth) {
    if (!IsNested(element)) {
      std::optional<double> number = NumberOf(element);
      return Push(number ? static_cast<float>(*number) : kNaN);
    }
    if (depth == 0 || cut_) return;
    if (std::optional<dom::array> list = ArrayOf(element)) {
      for (dom::element inner : *list) AddValue(inner, depth - 1);
      return;
    }
    const std::optional<dom::object> object = ObjectOf(element);
    for (auto member : *object) AddValue(member.value, depth - 1);
  }
  /// One row: a list of values, or names with values.
  void AddRow(dom::element row) {
    std::optional<dom::object> named = ObjectOf(row);
    if (!named) return AddValue(row, kMaxDepth);
    for (auto member : *named) PushNamed(member.key, member.value);
  }
  bool ReadRows(dom::array list) {
    rows_ = static_cast<uint32_t>(CountOf(list));
    if (std::optional<dom::element> first = First(list)) AddRow(*first);
    return true;
  }
  /// Rows, or one row of values without a list around it.
  bool ReadRowsOrRow(dom::element element) {
    std::optional<dom::array> list = ArrayOf(element);
    if (list && (!First(*list) || IsNested(*First(*list)))) return ReadRows(*list);
    rows_ = 1;
    AddRow(element);
    return true;
  }
  /// {"age": [31, 40], "city": ["x", "y"]}: the first of each.
  bool ReadColumns(dom::object columns) {
    rows_ = 1;
    bool first = true;
    for (auto member : columns) {
      std::optional<dom::array> list = ArrayOf(member.value);
      if (first && list) rows_ = static_cast<uint32_t>(CountOf(*list));
      first = false;
      std::optional<dom::element> value = list ? First(*list) : member.value;
      if (value) PushNamed(member.key, *value);
    }
    return true;
  }
  bool ReadSplit(dom::object split) {
    std::optional<dom::array> data = ArrayOf(Member(split, "data"));
    if (!data) return false;
    ReadRows(*data);
    NameBy(ArrayOf(Member(split, "columns")));
    return true;
  }
  void NameBy(std::optional<dom::array> names) {
    if (!names) return;
    names_.clear();
    for (dom::element element : *names) {
      std::string_view name;
      if (element.get_string().get(name) == SUCCESS) names_.push_back(name);
    }
  }
  bool ReadTensors(dom::array tensors) {
    bool first = true;
    for (dom::element element : tensors) {
      std::optional<dom::object> tensor = ObjectOf(element);
      std::optional<TensorShape> shape = tensor ? ShapeOf(*tensor) : std::nullopt;
      std::optional<dom::element> data = tensor ? Member(*tensor, "data") : std::nullopt;
      if (!shape) return false;
      if (first) rows_ = shape->rows;
      first = false;
      std::string_view bytes;
      if (!data && !TakeBehind(*tensor, behind_, bytes)) return false;
      size_t left = shape->per_row;
      if (left == 0) continue;
      const size_t before = values_.size();
      if (data) {
        VisitFlat(*data, kMaxDepth, [&](dom::element value) {
          AddValue(value, 0);
          return --left > 0 && !cut_;
        });
      } else if (!bytes.empty()) {
        const bool known = VisitBinary(DatatypeOf(*tensor), bytes, [&](const BinaryValue& value) {
          Push(value.kind == BinaryValue::Kind::kText ? kNaN : static_cast<float>(value.number));
          return --left > 0 && !cut_;
        });
        if (!known) return false;
      }
      std::string_view name;
      if (values_.size() == before + 1 && Member(*tensor, "name") &&
          Member(*tensor, "name")->get_string().get(name) == SUCCESS)
        names_.push_back(name);
    }
    return true;
  }
  /// {"names": […], "ndarray": […]} or {"tensor": {"shape": […], "values": […]}}
  bool ReadSeldon(dom::object data) {
    if (std::optional<dom::array> rows = ArrayOf(Member(data, "ndarray"))) {
      ReadRows(*rows);
      NameBy(ArrayOf(Member(data, "names")));
      return true;
    }
    std::optional<dom::object> tensor = ObjectOf(Member(data, "tensor"));
    std::optional<TensorShape> shape = tensor ? ShapeOf(*tensor) : std::nullopt;
    std::optional<dom::array> values = tensor ? ArrayOf(Member(*tensor, "values")) : std::nullopt;
    if (!shape || !values) return false;
    rows_ = shape->rows;
    size_t left = shape->per_row;
    for (dom::element value : *values) {
      if (left-- == 0) break;
      AddValue(value, 0);
    }
    NameBy(ArrayOf(Member(data, "names")));
    return true;
  }
  bool ReadObject(dom::object root) {
    if (auto rows = ArrayOf(Member(root, "instances"))) return ReadRows(*rows);
    if (auto rows = ArrayOf(Member(root, "examples"))) return ReadRows(*rows);
    if (auto split = ObjectOf(FirstOf(root, kSplitNames))) return ReadSplit(*split);
    if (auto records = ArrayOf(Member(root, "dataframe_records"))) return ReadRows(*records);
    if (auto tensors = TensorsOf(root, "inputs")) return ReadTensors(*tensors);
    if (auto rows = ArrayOf(Member(root, "inputs"))) return ReadRows(*rows);
    if (auto columns = ObjectOf(Member(root, "inputs"))) return ReadColumns(*columns);
    if (Member(root, "columns") && ArrayOf(Member(root, "data"))) return ReadSplit(root);
    if (auto data = ObjectOf(Member(root, "data"));
        data && (Member(*data, "ndarray") || Member(*data, "tensor")))
      return ReadSeldon(*data);
    if (auto value = FirstOf(root, kPlainNames)) {
      auto split = ObjectOf(value);
      if (split && Member(*split, "columns") && Member(*split, "data")) return ReadSplit(*split);
      return ReadRowsOrRow(*value);
    }
    // The features themselves, as a hand-written service takes them.
    rows_ = 1;
    for (auto member : root) {
      if (IsNested(member.value)) return false;
      PushNamed(member.key, member.value);
    }
    return !values_.empty();
  }
  bool ReadJson(std::string_view body) {
    std::optional<dom::element> root = document_.Parse(body);
    if (!root || !IsNested(*root)) return false;
    if (std::optional<dom::object> object = ObjectOf(root)) return ReadObject(*object);
    return ReadRowsOrRow(*root);
  }
  bool ReadCsv(std::string_view body) {
    std::vector<std::string_view> lines = CsvLines(body);
    if (lines.empty()) return false;
    const size_t header = HasHeader(lines) ? 1 : 0;
    if (header > 0)
      VisitCsv(lines[0], [&](std::string_view name) {
        if (names_.size() < kMaxFeatures) names_.push_back(name);
      });
    rows_ = static_cast<uint32_t>(lines.size() - header);
    VisitCsv(lines[header], [&](std::string_view field) {
      std::optional<double> number = ParseNumber(field);
      Push(number ? static_cast<float>(*number) : kNaN);
    });
    return true;
  }

  static constexpr std::array<std::string_view, 2> kSplitNames = {"dataframe_split", "split"};
  static constexpr std::array<std::string_view, 6> kPlainNames = {"input_data", "features", "input",
                                                                  "data",       "values",   "x"};

  Document document_;
  std::string_view behind_;  ///< tensors that are still to come, of the body that is read
  std::vector<float> values_;
  std::vector<std::string_view> names_;
  uint32_t rows_ = 0;
  bool cut_ = false;
};

class PayloadReader::Outputs {
 public:
  std::optional<PayloadOutputs> Read(std::string_view body, std::string_view content_type,
                                     std::string_view behind) {
    behind_ = behind;
    count_ = 0;
    rows_ = 0;
    score_.reset();
    row_scores_.Clear();
    const bool read = IsCsv(content_type) ? ReadCsv(body) : ReadJson(body);
    if (!read) return std::nullopt;
    return PayloadOutputs{rows_,
                          std::span(predicted_.data(), count_),
                          score_,
                          row_scores_.of(),
                          row_scores_.values(),
                          row_scores_.class_scores()};
  }

 private:
  void Take(std::string_view text) {
    if (count_ < kMaxPredictions) predicted_[count_++] = text;
  }
  template <typename Number>
  void TakeNumber(Number number) {
    if (count_ == kMaxPredictions) return;
    std::array<char, 32>& text = texts_[count_];
    char* end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    Take({text.data(), static_cast<size_t>(end - text.data())});
  }
  void TakeScalar(dom::element value) {
    std::string_view text;
    int64_t integer = 0;
    double number = 0;
    bool truth = false;
    if (value.get_string().get(text) == SUCCESS) return Take(text);
    if (value.get_int64().get(integer) == SUCCESS) return TakeNumber(integer);
    if (value.get_double().get(number) == SUCCESS) return TakeNumber(number);
    if (value.get_bool().get(truth) == SUCCESS) return Take(truth ? "true" : "false");
    Take("");  // null: this row has no prediction
  }
  /// The index of the highest of several scores.
  void TakeScores(std::span<const double> scores) {
    size_t best = scores.size();
    for (size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] != scores[i]) continue;
      if (best == scores.size() || scores[i] > scores[best]) best = i;
    }
    row_scores_.Add(scores);
    if (best == scores.size()) return Take("NaN");
    if (count_ == 0 && std::fabs(scores[best]) <= std::numeric_limits<float>::max())
      score_ = static_cast<float>(scores[best]);
    TakeNumber(best);
  }
  void TakeList(dom::array list) {
    scores_.clear();
    std::optional<dom::element> only;
    bool numbers = true;
    for (dom::element element : list) {
      if (!only) only = element;
      std::optional<double> number = NumberOf(element);
      numbers = numbers && number;
      if (!numbers || scores_.size() == kMaxFeatures) break;
      scores_.push_back(*number);
    }
    if (!only) return Take("");
    if (numbers && scores_.size() > 1) return TakeScores(scores_);
    TakeRow(*only);
  }
  /// Of several outputs of a row: a label, else scores, else the first.
  void TakeObject(dom::object outputs) {
    std::optional<dom::element> label, scores, first;
    for (auto member : outputs) {
      const dom::element_type type = member.value.type();
      std::optional<dom::array> list = ArrayOf(member.value);
      if (!first) first = member.value;
      if (!label && (type == dom::element_type::STRING || type == dom::element_type::INT64 ||
                     type == dom::element_type::UINT64))
        label = member.value;
      if (!scores && list && CountOf(*list) > 1) scores = member.value;
    }
    std::optional<dom::element> chosen = label ? label : scores ? scores : first;
    if (!chosen || ObjectOf(chosen)) return Take("");
    TakeRow(*chosen);
  }
  void TakeRow(dom::element row) {
    // One level at a time, and what is in a list of lists is in its first: no body makes this deep.
    for (size_t depth = 0; depth < kMaxDepth; ++depth) {
      std::optional<dom::array> list = ArrayOf(row);
      if (!list) break;
      std::optional<dom::element> first = First(*list);
      if (!first || !ArrayOf(first)) return TakeList(*list);
      row = *first;
    }
    if (std::optional<dom::object> object = ObjectOf(row)) return TakeObject(*object);
    if (!IsNested(row)) TakeScalar(row);
  }
  bool ReadRows(dom::array list) {
    rows_ = static_cast<uint32_t>(CountOf(list));
    for (dom::element row : list) {
      if (count_ == kMaxPredictions) break;
      const size_t before = count_;
      TakeRow(row);
      if (count_ == before) Take("");
    }
    return true;
  }
  /// Of TensorFlow Serving's classify, rows of pairs of label and score; of its regress, numbers.
  bool ReadResults(dom::array list) {
    rows_ = static_cast<uint32_t>(CountOf(list));
    for (dom::element row : list) {
      if (count_ == kMaxPredictions) break;
      const size_t before = count_;
      std::optional<dom::array> classes = ArrayOf(row);
      if (!classes || !TakeClasses(*classes)) TakeRow(row);
      if (count_ == before) Take("");
    }
    return true;
  }
  /// False: these are no pairs. Where a model has no labels, all are empty.
  bool TakeClasses(dom::array classes) {
    scores_.clear();
    std::string_view best_label;
    double best = -std::numeric_limits<double>::infinity();
    for (dom::element element : classes) {
      std::optional<dom::array> pair = ArrayOf(element);
      std::string_view label;
      dom::element score;
      if (!pair || CountOf(*pair) != 2 || pair->at(0).get_string().get(label) != SUCCESS ||
          pair->at(1).get(score) != SUCCESS)
        return false;
      if (scores_.size() == kMaxFeatures) break;
      scores_.push_back(NumberOf(score).value_or(kNaN));
      if (scores_.back() <= best) continue;
      best = scores_.back();
      best_label = label;
    }
    if (scores_.empty()) return false;
    const size_t at = count_;
    TakeScores(scores_);
    if (!best_label.empty()) predicted_[at] = best_label;
    return true;
  }
  bool ReadRowsOrRow(dom::element element) {
    if (std::optional<dom::array> list = ArrayOf(element)) return ReadRows(*list);
    rows_ = 1;
    TakeRow(element);
    return count_ > 0;
  }
  /// {"label": ["a", "b"], "scores": [[…], […]]}
  bool ReadColumns(dom::object columns) {
    std::optional<dom::array> label, scores, value;
    for (auto member : columns) {
      std::optional<dom::array> list = ArrayOf(member.value);
      std::optional<dom::element> first = list ? First(*list) : std::nullopt;
      if (!first) continue;
      const dom::element_type type = first->type();
      if (!label && (type == dom::element_type::STRING || type == dom::element_type::INT64))
        label = list;
      if (!scores && ArrayOf(first) && CountOf(*ArrayOf(first)) > 1) scores = list;
      if (!value) value = list;
    }
    std::optional<dom::array> chosen = label ? label : scores ? scores : value;
    return chosen && ReadRows(*chosen);
  }
  struct Tensor {
    dom::object json;
    std::string_view datatype;
    std::string_view bytes;  ///< empty: its values are in the JSON
    size_t per_row = 0;
  };
  bool ReadTensors(dom::array tensors) {
    std::optional<Tensor> label, scores, value;
    for (dom::element element : tensors) {
      std::optional<dom::object> json = ObjectOf(element);
      std::optional<TensorShape> shape = json ? ShapeOf(*json) : std::nullopt;
      if (!shape) return false;
      Tensor tensor{*json, DatatypeOf(*json), {}, shape->per_row};
      if (tensor.datatype.empty()) return false;
      const bool in_json = Member(*json, "data").has_value();
      if (!in_json && !TakeBehind(*json, behind_, tensor.bytes)) return false;
      if ((!in_json && tensor.bytes.empty()) || shape->per_row == 0) continue;
      if (rows_ == 0) rows_ = shape->rows;
      const bool whole =
          tensor.datatype.find("INT") != std::string_view::npos || tensor.datatype == "BYTES";
      if (!label && shape->per_row == 1 && whole) label = tensor;
      if (!scores && shape->per_row > 1) scores = tensor;
      if (!value) value = tensor;
    }
    const std::optional<Tensor>& chosen = label ? label : scores ? scores : value;
    return chosen ? ReadTensor(*chosen) : rows_ > 0;
  }
  bool ReadTensor(const Tensor& tensor) {
    scores_.clear();
    bool known = true;
    if (tensor.bytes.empty()) {
      VisitFlat(*Member(tensor.json, "data"), kMaxDepth, [&](dom::element element) {
        if (tensor.per_row == 1) {
          TakeScalar(element);
          return count_ < kMaxPredictions;
        }
        std::string_view text;
        const bool word = element.get_string().get(text) == SUCCESS;
        return TakeOfRow(word, text, NumberOf(element).value_or(kNaN), tensor.per_row);
      });
    } else {
      known = VisitBinary(tensor.datatype, tensor.bytes, [&](const BinaryValue& value) {
        if (tensor.per_row == 1) {
          TakeBinary(value);
          return count_ < kMaxPredictions;
        }
        const bool word = value.kind == BinaryValue::Kind::kText;
        return TakeOfRow(word, value.text, word ? double{kNaN} : value.number, tensor.per_row);
      });
    }
    words_ = false;
    return known;
  }
  /// One of several values of a row. False: no more are wanted.
  bool TakeOfRow(bool word, std::string_view text, double number, size_t per_row) {
    if (scores_.empty() && word) words_ = true;
    scores_.push_back(number);
    if (scores_.size() == 1 && words_) Take(text);
    if (scores_.size() < per_row) return scores_.size() < kMaxFeatures;
    if (!words_) TakeScores(scores_);
    scores_.clear();
    words_ = false;
    return count_ < kMaxPredictions;
  }
  void TakeBinary(const BinaryValue& value) {
    switch (value.kind) {
      case BinaryValue::Kind::kText:
        return Take(value.text);
      case BinaryValue::Kind::kWhole:
        return TakeNumber(value.whole);
      case BinaryValue::Kind::kTruth:
        return Take(value.number != 0 ? "true" : "false");
      case BinaryValue::Kind::kFloat:  // as short as a float is in JSON
        return TakeNumber(static_cast<float>(value.number));
      case BinaryValue::Kind::kDouble:
        return TakeNumber(value.number);
    }
  }
  bool ReadObject(dom::object root) {
    if (auto rows = ArrayOf(Member(root, "predictions"))) return ReadRows(*rows);
    if (auto rows = ArrayOf(Member(root, "results"))) return ReadResults(*rows);
    if (auto tensors = TensorsOf(root, "outputs")) return ReadTensors(*tensors);
    if (auto rows = ArrayOf(Member(root, "outputs"))) return ReadRows(*rows);
    if (auto columns = ObjectOf(Member(root, "outputs"))) return ReadColumns(*columns);
    if (auto data = ObjectOf(Member(root, "data"))) {
      if (auto rows = ArrayOf(Member(*data, "ndarray"))) return ReadRows(*rows);
    }
    if (auto value = FirstOf(root, kPlainNames)) return ReadRowsOrRow(*value);
    return false;
  }
  bool ReadJson(std::string_view body) {
    std::optional<dom::element> root = document_.Parse(body);
    if (!root) return false;
    if (std::optional<dom::object> object = ObjectOf(root)) return ReadObject(*object);
    return ReadRowsOrRow(*root);
  }
  bool ReadCsv(std::string_view body) {
    std::vector<std::string_view> lines = CsvLines(body);
    if (lines.empty()) return false;
    const size_t header = HasHeader(lines) ? 1 : 0;
    rows_ = static_cast<uint32_t>(lines.size() - header);
    for (size_t i = header; i < lines.size() && count_ < kMaxPredictions; ++i) {
      scores_.clear();
      std::string_view first;
      bool any = false, numbers = true;
      VisitCsv(lines[i], [&](std::string_view field) {
        if (!any) first = field;
        any = true;
        std::optional<double> number = ParseNumber(field);
        numbers = numbers && number && scores_.size() < kMaxFeatures;
        if (numbers) scores_.push_back(*number);
      });
      if (numbers && scores_.size() > 1) {
        TakeScores(scores_);
      } else {
        Take(first);
      }
    }
    return true;
  }

  static constexpr std::array<std::string_view, 7> kPlainNames = {
      "prediction", "predicted", "output", "result", "label", "class", "predicted_label"};

  Document document_;
  std::string_view behind_;  ///< tensors that are still to come, of the body that is read
  std::array<std::string_view, kMaxPredictions> predicted_{};
  std::array<std::array<char, 32>, kMaxPredictions> texts_{};
  std::vector<double> scores_;
  size_t count_ = 0;
  uint32_t rows_ = 0;
  bool words_ = false;  ///< the tensor that is read holds texts
  std::optional<float> score_;
  RowScores row_scores_;
};

PayloadReader::PayloadReader()
    : inputs_(std::make_unique<Inputs>()), outputs_(std::make_unique<Outputs>()) {}
PayloadReader::~PayloadReader() = default;
PayloadReader::PayloadReader(PayloadReader&&) noexcept = default;
PayloadReader& PayloadReader::operator=(PayloadReader&&) noexcept = default;

std::optional<PayloadInputs> PayloadReader::ReadInputs(std::string_view body,
                                                       std::string_view content_type,
                                                       std::string_view behind) {
  return inputs_->Read(body, content_type, behind);
}

std::optional<PayloadOutputs> PayloadReader::ReadOutputs(std::string_view body,
                                                         std::string_view content_type,
                                                         std::string_view behind) {
  return outputs_->Read(body, content_type, behind);
}

}  // namespace leadsman::intake
