#include "protocol/tfserving/examples_codec.h"

#include <algorithm>
#include <utility>

#include "base/base64.h"
#include "base/strings.h"
#include "protocol/json_writer.h"

namespace leadsman::tfserving {
namespace {

constexpr size_t kShownName = 64;

/// A feature holds values of one kind; the first one says which.
bool SetKind(JsonCursor& json, Feature& feature, Feature::Kind kind) {
  if (feature.kind == Feature::Kind::kNone) feature.kind = kind;
  if (feature.kind == kind) return true;
  std::string_view expected = feature.kind == Feature::Kind::kBytes   ? "bytes"
                              : feature.kind == Feature::Kind::kFloat ? "float"
                                                                      : "int64";
  return json.Fail(InvalidArgumentError(
      StrCat("Unexpected element type in feature: ", CutUtf8(feature.name, kShownName),
             " expecting type: ", expected, ", got ", json.Excerpt())));
}

bool UnexpectedType(JsonCursor& json, const Feature& feature) {
  return json.Fail(InvalidArgumentError(
      StrCat("Feature: ", CutUtf8(feature.name, kShownName),
             " has element with unexpected JSON type: ", JsonCursor::KindName(json.Peek()))));
}

bool DecodeNumber(JsonCursor& json, Feature& feature) {
  size_t position = json.position();
  JsonCursor::IntegerValue integer;
  if (!json.Integer(integer)) return false;
  constexpr uint64_t kLargest = INT64_MAX;
  bool fits = integer.integer && !integer.overflow &&
              integer.magnitude <= kLargest + (integer.negative ? 1 : 0);
  if (integer.integer && !integer.overflow && !integer.negative && !fits) {
    return json.Fail(
        InvalidArgumentError(StrCat("Feature: ", CutUtf8(feature.name, kShownName),
                                    " has uint64 element. Only int64_t is supported.")));
  }
  json.Seek(position);
  if (!fits) {
    if (!SetKind(json, feature, Feature::Kind::kFloat)) return false;
    double value = 0;
    if (!json.Double(value)) return false;
    feature.floats.push_back(value);
    return true;
  }
  if (!SetKind(json, feature, Feature::Kind::kInt64)) return false;
  if (!json.Skip()) return false;
  // Two's complement: the smallest integer has no positive counterpart.
  feature.ints.push_back(
      static_cast<int64_t>(integer.negative ? ~integer.magnitude + 1 : integer.magnitude));
  return true;
}

}  // namespace

bool ExamplesCodec::DecodeValue(JsonCursor& json, Feature& feature) {
  const size_t texts = feature.bytes.size();
  if (!Keep(json, sizeof(int64_t)) || !DecodeOne(json, feature)) return false;
  return feature.bytes.size() == texts ||
         Keep(json, sizeof(std::string) + feature.bytes.back().size());
}

bool ExamplesCodec::DecodeOne(JsonCursor& json, Feature& feature) {
  switch (json.Peek()) {
    case JsonCursor::Kind::kNumber:
      return DecodeNumber(json, feature);
    case JsonCursor::Kind::kBool: {
      if (!SetKind(json, feature, Feature::Kind::kInt64)) return false;
      bool value = false;
      if (!json.Bool(value)) return false;
      feature.ints.push_back(value ? 1 : 0);
      return true;
    }
    case JsonCursor::Kind::kString: {
      if (!SetKind(json, feature, Feature::Kind::kBytes)) return false;
      std::string_view text;
      if (!json.String(text, scratch_)) return false;
      feature.bytes.emplace_back(text);
      return true;
    }
    case JsonCursor::Kind::kObject: {
      size_t position = json.position();
      std::string excerpt = json.Excerpt();
      int members = 0;
      std::string decoded;
      bool b64 = false, valid = false;
      bool ok = json.Object([&](std::string_view key) {
        ++members;
        b64 = key == "b64" && json.Peek() == JsonCursor::Kind::kString;
        if (!b64) return json.Skip();
        std::string_view text;
        if (!json.String(text, scratch_)) return false;
        valid = DecodeBase64(text, decoded);
        return true;
      });
      if (!ok) return false;
      if (!b64 || members != 1) {
        json.Seek(position);
        return UnexpectedType(json, feature);
      }
      size_t end = json.position();
      json.Seek(position);
      if (!SetKind(json, feature, Feature::Kind::kBytes)) return false;
      json.Seek(end);
      if (!valid) {
        return json.Fail(
            InvalidArgumentError(StrCat("Unable to base64 decode JSON value: ", excerpt,
                                        " (feature ", CutUtf8(feature.name, kShownName), ")")));
      }
      feature.bytes.push_back(std::move(decoded));
      return true;
    }
    case JsonCursor::Kind::kNull:
    case JsonCursor::Kind::kArray:
      return UnexpectedType(json, feature);
    default:
      return json.Skip();  // says what is wrong
  }
}

bool ExamplesCodec::DecodeExample(JsonCursor& json, Example& example) {
  if (json.Peek() != JsonCursor::Kind::kObject) {
    if (json.Peek() == JsonCursor::Kind::kOther || json.Peek() == JsonCursor::Kind::kEnd)
      return json.Skip();
    return json.Fail(InvalidArgumentError(
        StrCat("Example must be JSON object but got JSON ", JsonCursor::KindName(json.Peek()))));
  }
  if (!Keep(json, sizeof(Example))) return false;
  const bool ok = json.Object([&](std::string_view key) {
    if (!Keep(json, sizeof(Feature) + key.size())) return false;
    Feature& feature = example.features.emplace_back();
    feature.name.assign(key);
    if (json.Peek() != JsonCursor::Kind::kArray) return DecodeValue(json, feature);
    return json.Array([&](size_t) { return DecodeValue(json, feature); });
  });
  if (!ok) return false;
  example.Sort();
  auto same = [](const Feature& a, const Feature& b) { return a.name == b.name; };
  auto twice = std::adjacent_find(example.features.begin(), example.features.end(), same);
  if (twice == example.features.end()) return true;
  return json.Fail(InvalidArgumentError(
      StrCat("an example has the feature '", CutUtf8(twice->name, kShownName), "' twice")));
}

bool ExamplesCodec::Keep(JsonCursor& json, size_t bytes) {
  return room_.Take(bytes) || json.Fail(TooMuchMemory(limit_));
}

Status ExamplesCodec::Decode(std::string_view body, PredictionCall& call) {
  return Decode(body, call.handle->model->signatures(), call);
}

Status ExamplesCodec::Decode(std::string_view body, std::span<const NamedSignature> signatures,
                             PredictionCall& call) {
  batch_.Clear();
  room_ = ExampleRoom(kExampleMemory * limit_);
  std::string signature_name;
  bool found = false;
  std::string_view method = method_ == Method::kClassify ? "classify" : "regress";
  JsonCursor json(body);
  bool ok = json.Object([&](std::string_view key) {
    if (key == "signature_name") {
      if (json.Peek() != JsonCursor::Kind::kString) {
        return json.Fail(InvalidArgumentError("'signature_name' key must be a string value."));
      }
      std::string_view name;
      if (!json.String(name, scratch_)) return false;
      signature_name.assign(name);
      return true;
    }
    if (key == "context") {
      batch_.context.features.clear();
      return DecodeExample(json, batch_.context);
    }
    if (key != "examples") return json.Skip();
    if (found) return json.Fail(InvalidArgumentError("'examples' is there twice"));
    found = true;
    if (json.Peek() != JsonCursor::Kind::kArray) {
      return json.Fail(
          InvalidArgumentError(StrCat("Expecting 'examples' value to be a list/array; it is ",
                                      JsonCursor::KindName(json.Peek()))));
    }
    return json.Array([&](size_t) { return DecodeExample(json, batch_.examples.emplace_back()); });
  });
  if (!ok || !json.End()) return json.error();
  if (!found) {
    return InvalidArgumentError(
        StrCat("When method is ", method, ", key 'examples' is expected and was not found"));
  }
  if (batch_.examples.empty())
    return InvalidArgumentError("'examples' value is an empty array; expecting at least one");
  ASSIGN_OR_RETURN(call.signature, SelectSignature(signatures, signature_name, method_));
  return ExamplesToInputs(batch_, signatures[call.signature].signature, limit_, call);
}

Status ExamplesCodec::Encode(const PredictionCall& call, std::string& out) {
  const NamedSignature& signature = call.handle->model->signatures()[call.signature];
  out += "{\"results\": [";
  if (method_ == Method::kRegress) {
    ASSIGN_OR_RETURN(std::vector<float> values, ReadValues(signature, call.outputs, call.rows));
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out += ',';
      AppendFloat(out, values[i]);
    }
  } else {
    ASSIGN_OR_RETURN(auto rows, ReadClasses(signature, call.outputs, call.rows));
    for (size_t i = 0; i < rows.size(); ++i) {
      out += i > 0 ? ",[" : "[";
      for (size_t c = 0; c < rows[i].size(); ++c) {
        out += c > 0 ? ",[" : "[";
        AppendJsonString(out, rows[i][c].label);
        out += ',';
        AppendFloat(out, rows[i][c].score);
        out += ']';
      }
      out += ']';
    }
  }
  out += "]}";
  return OkStatus();
}

}  // namespace leadsman::tfserving
