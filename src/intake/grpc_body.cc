#include "intake/grpc_body.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "base/wire.h"

namespace leadsman::intake {
namespace {

constexpr size_t kPrefix = 5;          // a flag, a length
constexpr size_t kMaxTensors = 1024;   // whose JSON is longer than they are
constexpr size_t kMaxFeatures = 4096;  // of an example, likewise
constexpr size_t kMaxDimensions = 64;

/// How the values of a type are written.
struct Form {
  enum class Kind : uint8_t { kFixed, kVarint, kText };
  std::string_view datatype;  ///< V2's
  size_t width;
  Kind kind;
  uint32_t v2_field;  ///< of InferTensorContents; 0: they come raw alone
  uint64_t tf_type;   ///< tensorflow.DataType
  uint32_t tf_field;  ///< of TensorProto
};
constexpr std::array<Form, 14> kForms{{
    {"FP32", 4, Form::Kind::kFixed, 6, 1, 5},
    {"FP64", 8, Form::Kind::kFixed, 7, 2, 6},
    {"INT32", 4, Form::Kind::kVarint, 2, 3, 7},
    {"UINT8", 1, Form::Kind::kVarint, 4, 4, 7},
    {"INT16", 2, Form::Kind::kVarint, 2, 5, 7},
    {"INT8", 1, Form::Kind::kVarint, 2, 6, 7},
    {"BYTES", 0, Form::Kind::kText, 8, 7, 8},
    {"INT64", 8, Form::Kind::kVarint, 3, 9, 10},
    {"BOOL", 1, Form::Kind::kVarint, 1, 10, 11},
    {"BF16", 2, Form::Kind::kVarint, 0, 14, 13},
    {"UINT16", 2, Form::Kind::kVarint, 4, 17, 7},
    {"FP16", 2, Form::Kind::kVarint, 0, 19, 13},
    {"UINT32", 4, Form::Kind::kVarint, 4, 22, 16},
    {"UINT64", 8, Form::Kind::kVarint, 5, 23, 17},
}};

const Form* FormOf(std::string_view datatype) {
  const auto at = std::find_if(kForms.begin(), kForms.end(),
                               [&](const Form& form) { return form.datatype == datatype; });
  return at == kForms.end() ? nullptr : &*at;
}
const Form* FormOf(uint64_t tf_type) {
  const auto at = std::find_if(kForms.begin(), kForms.end(),
                               [&](const Form& form) { return form.tf_type == tf_type; });
  return at == kForms.end() ? nullptr : &*at;
}

/// As V2's binary tensors have them.
void AppendText(std::string_view text, std::string& out) {
  const auto size = static_cast<uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof(size)).append(text);
}

/// The values of a repeated field, one after the other. False: it is not written as its type is.
bool AppendField(const WireReader& in, const Form& form, std::string& out) {
  switch (form.kind) {
    case Form::Kind::kFixed:
      if (in.type() == WireReader::kBytes) {
        out.append(in.bytes());
        return in.bytes().size() % form.width == 0;
      }
      if (in.type() != (form.width == 4 ? WireReader::kFixed32 : WireReader::kFixed64))
        return false;
      {
        const uint64_t bits = in.fixed();
        out.append(reinterpret_cast<const char*>(&bits), form.width);
      }
      return true;
    case Form::Kind::kVarint:
      if (in.type() != WireReader::kVarint && in.type() != WireReader::kBytes) return false;
      return ForEachVarint(in, [&](uint64_t bits) {
        if (form.datatype == "BOOL") bits = bits != 0 ? 1 : 0;
        out.append(reinterpret_cast<const char*>(&bits), form.width);
      });
    case Form::Kind::kText:
      if (in.type() != WireReader::kBytes) return false;
      AppendText(in.bytes(), out);
      return true;
  }
  return false;
}

/// All values that `field` of a message holds, and how many; nothing when it is malformed.
std::optional<size_t> AppendValues(std::string_view message, uint32_t field, const Form& form,
                                   std::string& out) {
  const size_t begin = out.size();
  size_t texts = 0;
  WireReader in(message);
  while (in.Next()) {
    if (in.field() != field) continue;
    if (!AppendField(in, form, out)) return std::nullopt;
    ++texts;
  }
  if (!in.ok()) return std::nullopt;
  return form.width == 0 ? texts : (out.size() - begin) / form.width;
}

/// Texts in tensor_content: all lengths as varints, then all bytes.
bool AppendTextContent(std::string_view content, uint64_t count, std::string& out) {
  std::string_view texts = content;
  uint64_t length = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (!WireReader::TakeVarint(texts, length)) return false;
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (!WireReader::TakeVarint(content, length) || length > texts.size()) return false;
    AppendText(texts.substr(0, length), out);
    texts.remove_prefix(length);
  }
  return true;
}

/// How many values a shape holds; nothing when a dimension is none, or it is more than `most`.
std::optional<uint64_t> CountOf(const std::vector<int64_t>& shape, uint64_t most) {
  uint64_t count = 1;
  for (int64_t size : shape) {
    if (size < 0) return std::nullopt;
    const auto times = static_cast<uint64_t>(size);
    if (times != 0 && count > most / times) return std::nullopt;
    count *= times;
  }
  return count <= most ? std::optional(count) : std::nullopt;
}

/// JSON has no word for what is no finite number.
template <typename Number>
void AppendNumber(std::string& out, Number number) {
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) {
      out += "null";
      return;
    }
  }
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), end);
}

void AppendJsonText(std::string& out, std::string_view text) {
  AppendJsonString(out, ToUtf8(text));
}

float FloatOf(uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  float value;
  std::memcpy(&value, &low, sizeof(value));
  return value;
}

/// An entry of a map whose keys are strings, and its value a message. False: malformed.
bool ReadEntry(std::string_view entry, std::string_view& key, std::string_view& value) {
  key = value = {};
  WireReader in(entry);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) key = in.bytes();
    if (in.Is(2, WireReader::kBytes)) value = in.bytes();
  }
  return in.ok();
}

/// tensorflow.Feature, as JSON: a value, or a list of them.
bool AppendFeature(std::string_view feature, std::string& out) {
  std::string values;
  size_t count = 0;
  const auto next = [&]() -> std::string& {
    if (count++ > 0) values += ',';
    return values;
  };
  WireReader in(feature);
  while (in.Next()) {
    if (in.type() != WireReader::kBytes || in.field() < 1 || in.field() > 3) continue;
    WireReader list(in.bytes());
    while (list.Next()) {
      if (list.field() != 1) continue;
      if (in.field() == 1 && list.type() == WireReader::kBytes) {
        AppendJsonText(next(), list.bytes());
      } else if (in.field() == 2 && list.type() == WireReader::kFixed32) {
        AppendNumber(next(), FloatOf(list.fixed()));
      } else if (in.field() == 2 && list.type() == WireReader::kBytes) {
        const std::string_view packed = list.bytes();
        if (packed.size() % sizeof(float) != 0) return false;
        for (size_t at = 0; at < packed.size(); at += sizeof(float)) {
          float value;
          std::memcpy(&value, packed.data() + at, sizeof(value));
          AppendNumber(next(), value);
        }
      } else if (in.field() == 3) {
        if (list.type() != WireReader::kVarint && list.type() != WireReader::kBytes) return false;
        if (!ForEachVarint(
                list, [&](uint64_t bits) { AppendNumber(next(), static_cast<int64_t>(bits)); }))
          return false;
      }
    }
    if (!list.ok()) return false;
  }
  if (count == 1) {
    out += values;
  } else {
    out.append("[").append(values).append("]");
  }
  return in.ok();
}

using NamedFeatures = std::vector<std::pair<std::string_view, std::string_view>>;

/// Those of a tensorflow.Example. False: malformed, or too many.
bool AddFeatures(std::string_view example, NamedFeatures& features) {
  WireReader in(example);
  while (in.Next()) {
    if (!in.Is(1, WireReader::kBytes)) continue;
    WireReader map(in.bytes());
    while (map.Next()) {
      if (!map.Is(1, WireReader::kBytes)) continue;
      if (features.size() == kMaxFeatures) return false;
      auto& [name, feature] = features.emplace_back();
      if (!ReadEntry(map.bytes(), name, feature)) return false;
    }
    if (!map.ok()) return false;
  }
  return in.ok();
}

/// tensorflow.serving.Classifications: [["label", score], …]
bool AppendClasses(std::string_view classifications, std::string& out) {
  bool first = true;
  out += '[';
  WireReader in(classifications);
  while (in.Next()) {
    if (!in.Is(1, WireReader::kBytes)) continue;
    std::string_view label;
    float score = 0;
    WireReader one(in.bytes());
    while (one.Next()) {
      if (one.Is(1, WireReader::kBytes)) label = one.bytes();
      if (one.Is(2, WireReader::kFixed32)) score = FloatOf(one.fixed());
    }
    if (!one.ok()) return false;
    out += std::exchange(first, false) ? "[" : ",[";
    AppendJsonText(out, label);
    out += ',';
    AppendNumber(out, score);
    out += ']';
  }
  out += ']';
  return in.ok();
}

/// tensorflow.serving.Regression
bool AppendRegression(std::string_view regression, std::string& out) {
  float value = 0;
  WireReader in(regression);
  while (in.Next()) {
    if (in.Is(1, WireReader::kFixed32)) value = FloatOf(in.fixed());
  }
  AppendNumber(out, value);
  return in.ok();
}

}  // namespace

GrpcBody::Outcome GrpcBody::Read(const HttpBody& body, Side side) {
  message_ = behind_ = id_ = {};
  json_.clear();
  made_.clear();
  filled_ = 0;
  tensors_.clear();
  if (const Outcome taken = TakeMessage(body); taken != Outcome::kRead) return taken;
  bool read = false;
  switch (body.call) {
    case GrpcMethod::kModelInfer:
      read = ReadModelInfer(side);
      break;
    case GrpcMethod::kPredict:
      read = ReadPredict(side);
      break;
    case GrpcMethod::kClassify:
    case GrpcMethod::kRegress:
      read = side == Side::kRequest ? ReadExamples() : ReadResults(body.call);
      break;
    case GrpcMethod::kNone:
      break;
  }
  return read ? Outcome::kRead : Outcome::kNotUnderstood;
}

/// Of a unary call there is one, and it is all.
GrpcBody::Outcome GrpcBody::TakeMessage(const HttpBody& body) {
  const std::string_view framed = body.body;
  if (framed.size() < kPrefix || (framed[0] & ~1) != 0) return Outcome::kNotUnderstood;
  size_t length = 0;
  for (size_t i = 1; i < kPrefix; ++i) length = length << 8 | static_cast<uint8_t>(framed[i]);
  message_ = framed.substr(kPrefix);
  if (length != message_.size()) return Outcome::kNotUnderstood;
  if (framed[0] == 0) return Outcome::kRead;
  size_t size = 0;
  if ((body.content_encoding != "gzip" && body.content_encoding != "deflate") ||
      inflater_.Inflate(message_, max_body_, buffer_, &size) != net::Inflater::Outcome::kOk)
    return Outcome::kEncoding;
  message_ = {buffer_.data(), size};
  return Outcome::kRead;
}

// Tensors
// ------------------------------------------------------------------------------------------------------------------

bool GrpcBody::ReadModelInfer(Side side) {
  const uint32_t raw_field = side == Side::kRequest ? 7 : 6;
  raw_.clear();
  contents_.clear();
  WireReader in(message_);
  while (in.Next()) {
    if (in.type() != WireReader::kBytes) continue;
    if (in.field() == 3) id_ = in.bytes();
    if (in.field() == raw_field) raw_.push_back(in.bytes());
    if (in.field() != 5) continue;
    if (tensors_.size() == kMaxTensors || !ReadV2Tensor(in.bytes(), contents_.emplace_back()))
      return false;
  }
  if (!in.ok() || tensors_.empty()) return false;
  size_t next_raw = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    Tensor& tensor = tensors_[i];
    if (tensor.elsewhere) continue;
    if (raw_.empty()) {
      if (!MakeV2Values(tensor, contents_[i])) return false;
    } else if (next_raw == raw_.size()) {
      return false;
    } else {
      tensor.bytes = raw_[next_raw++];
    }
  }
  WriteTensors(side == Side::kRequest ? "inputs" : "outputs");
  return true;
}

/// InferInputTensor and InferOutputTensor alike.
bool GrpcBody::ReadV2Tensor(std::string_view proto, std::string_view& contents) {
  Tensor& tensor = tensors_.emplace_back();
  WireReader in(proto);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) tensor.name = in.bytes();
    if (in.Is(2, WireReader::kBytes)) tensor.datatype = in.bytes();
    if (in.Is(5, WireReader::kBytes)) contents = in.bytes();
    if (in.field() == 3 && (in.type() == WireReader::kVarint || in.type() == WireReader::kBytes)) {
      const bool read = ForEachVarint(
          in, [&](uint64_t size) { tensor.shape.push_back(static_cast<int64_t>(size)); });
      if (!read || tensor.shape.size() > kMaxDimensions) return false;
    }
    if (in.Is(4, WireReader::kBytes)) {
      std::string_view key, value;
      if (!ReadEntry(in.bytes(), key, value)) return false;
      tensor.elsewhere = tensor.elsewhere || key == "shared_memory_region";
    }
  }
  return in.ok();
}

bool GrpcBody::MakeV2Values(Tensor& tensor, std::string_view contents) {
  const Form* const form = FormOf(tensor.datatype);
  if (form == nullptr || form->v2_field == 0) return false;
  tensor.begin = made_.size();
  if (!AppendValues(contents, form->v2_field, *form, made_)) return false;
  tensor.size = made_.size() - tensor.begin;
  return true;
}

/// Maps have no order on the wire: that of their names is always the same.
bool GrpcBody::ReadPredict(Side side) {
  const uint32_t field = side == Side::kRequest ? 2 : 1;
  NamedFeatures named;
  WireReader in(message_);
  while (in.Next()) {
    if (!in.Is(field, WireReader::kBytes)) continue;
    if (named.size() == kMaxTensors) return false;
    auto& [name, tensor] = named.emplace_back();
    if (!ReadEntry(in.bytes(), name, tensor)) return false;
  }
  if (!in.ok() || named.empty()) return false;
  std::stable_sort(named.begin(), named.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, tensor] : named) {
    if (!ReadTensorProto(name, tensor)) return false;
  }
  WriteTensors(side == Side::kRequest ? "inputs" : "outputs");
  return true;
}

bool GrpcBody::ReadTensorProto(std::string_view name, std::string_view proto) {
  Tensor& tensor = tensors_.emplace_back();
  tensor.name = name;
  uint64_t type = 0;
  WireReader in(proto);
  while (in.Next()) {
    if (in.Is(1, WireReader::kVarint)) type = in.varint();
    if (!in.Is(2, WireReader::kBytes)) continue;
    WireReader shape(in.bytes());
    while (shape.Next()) {
      if (shape.Is(3, WireReader::kVarint) && shape.varint() != 0) return false;  // no rank
      if (!shape.Is(2, WireReader::kBytes)) continue;
      if (tensor.shape.size() == kMaxDimensions) return false;
      int64_t size = 0;
      WireReader dimension(shape.bytes());
      while (dimension.Next()) {
        if (dimension.Is(1, WireReader::kVarint)) size = static_cast<int64_t>(dimension.varint());
      }
      if (!dimension.ok()) return false;
      tensor.shape.push_back(size);
    }
    if (!shape.ok()) return false;
  }
  const Form* const form = FormOf(type);
  if (!in.ok() || form == nullptr) return false;
  tensor.datatype = form->datatype;
  return MakeValues(tensor, proto);
}

/// The field of their type, of which the last value stands for those that are missing, or tensor_content.
bool GrpcBody::MakeValues(Tensor& tensor, std::string_view proto) {
  const Form& form = *FormOf(tensor.datatype);
  const bool texts = form.kind == Form::Kind::kText;
  const size_t least = texts ? sizeof(uint32_t) : form.width;
  const auto count = CountOf(tensor.shape, max_body_ / least);
  if (!count) return false;
  std::string_view content;
  WireReader in(proto);
  while (in.Next()) {
    if (in.Is(4, WireReader::kBytes)) content = in.bytes();
  }
  if (!content.empty() && !texts) {
    tensor.bytes = content;
    return content.size() == *count * form.width;
  }
  tensor.begin = made_.size();
  if (!content.empty()) {
    if (!AppendTextContent(content, *count, made_)) return false;
  } else {
    const auto came = AppendValues(proto, form.tf_field, form, made_);
    if (!came || *came > *count) return false;
    std::string last(least, '\0');
    if (*came > 0 && texts) {
      std::string_view all = std::string_view(made_).substr(tensor.begin);
      for (size_t i = 1; i < *came; ++i) {
        uint32_t size;
        std::memcpy(&size, all.data(), sizeof(size));
        all.remove_prefix(sizeof(size) + size);
      }
      last = all;
    } else if (*came > 0) {
      last = made_.substr(made_.size() - form.width);
    }
    // Of all tensors together: each takes a few bytes on the wire.
    const uint64_t missing = *count - *came;
    if (missing > (max_body_ - filled_) / last.size()) return false;
    filled_ += missing * last.size();
    for (uint64_t i = 0; i < missing; ++i) made_ += last;
  }
  tensor.size = made_.size() - tensor.begin;
  return true;
}

void GrpcBody::WriteTensors(std::string_view list) {
  size_t total = 0;
  for (Tensor& tensor : tensors_) {
    if (tensor.size > 0) tensor.bytes = std::string_view(made_).substr(tensor.begin, tensor.size);
    total += tensor.bytes.size();
  }
  if (tensors_.size() == 1) {
    behind_ = tensors_[0].bytes;  // where they are
  } else if (made_.size() == total) {
    behind_ = made_;
  } else {
    together_.clear();
    for (const Tensor& tensor : tensors_) together_ += tensor.bytes;
    behind_ = together_;
  }
  json_.append("{\"").append(list).append("\":[");
  for (const Tensor& tensor : tensors_) {
    if (&tensor != tensors_.data()) json_ += ',';
    json_ += "{\"name\":";
    AppendJsonText(json_, tensor.name);
    json_ += ",\"datatype\":";
    AppendJsonText(json_, tensor.datatype);
    json_ += ",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      if (i > 0) json_ += ',';
      AppendNumber(json_, tensor.shape[i]);
    }
    json_ += ']';
    if (!tensor.elsewhere) {
      json_ += ",\"parameters\":{\"binary_data_size\":";
      AppendNumber(json_, tensor.bytes.size());
      json_ += '}';
    }
    json_ += '}';
  }
  json_ += "]}";
}

// Examples
// ------------------------------------------------------------------------------------------------------------------

/// Of tensorflow.serving.Input the first example whole, for of the others nothing but their number is of interest.
bool GrpcBody::ReadExamples() {
  std::string_view input;
  WireReader in(message_);
  while (in.Next()) {
    if (in.Is(2, WireReader::kBytes)) input = in.bytes();
  }
  if (!in.ok()) return false;
  size_t count = 0;
  std::string_view first, context;
  WireReader kinds(input);
  while (kinds.Next()) {
    if (!kinds.Is(1, WireReader::kBytes) && !kinds.Is(2, WireReader::kBytes)) continue;
    WireReader list(kinds.bytes());
    while (list.Next()) {
      if (list.Is(1, WireReader::kBytes) && count++ == 0) first = list.bytes();
      if (kinds.field() == 2 && list.Is(2, WireReader::kBytes)) context = list.bytes();
    }
    if (!list.ok()) return false;
  }
  NamedFeatures features;
  if (!kinds.ok() || count == 0 || !AddFeatures(first, features) || !AddFeatures(context, features))
    return false;
  std::stable_sort(features.begin(), features.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  json_ += "{\"examples\":[{";
  for (const auto& [name, feature] : features) {
    if (json_.back() != '{') json_ += ',';
    AppendJsonText(json_, name);
    json_ += ':';
    if (!AppendFeature(feature, json_)) return false;
  }
  json_ += '}';
  for (size_t i = 1; i < count; ++i) json_ += ",{}";
  json_ += "]}";
  return true;
}

bool GrpcBody::ReadResults(GrpcMethod call) {
  std::string_view result;
  WireReader in(message_);
  while (in.Next()) {
    if (in.Is(1, WireReader::kBytes)) result = in.bytes();
  }
  if (!in.ok() || result.empty()) return false;
  json_ += "{\"results\":[";
  bool first = true;
  WireReader rows(result);
  while (rows.Next()) {
    if (!rows.Is(1, WireReader::kBytes)) continue;
    if (!std::exchange(first, false)) json_ += ',';
    const bool read = call == GrpcMethod::kClassify ? AppendClasses(rows.bytes(), json_)
                                                    : AppendRegression(rows.bytes(), json_);
    if (!read) return false;
  }
  json_ += "]}";
  return rows.ok();
}

}  // namespace leadsman::intake
