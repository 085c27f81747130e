#include "storage/manifest.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 8;        // the schema needs five levels
constexpr size_t kMaxNameBytes = 512;  // of any one string but metadata
constexpr size_t kMaxFiles = 10'000;
constexpr size_t kMaxTensors = 1'024;

std::string Describe(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "text";
    case Json::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

Status Wrong(const std::string& field, std::string_view should, const Json& value) {
  return InvalidArgumentError(StrCat(field, " must be ", should, ", not ", Describe(value)));
}

std::string Under(const std::string& parent, std::string_view key) {
  return parent.empty() ? std::string(key) : StrCat(parent, ".", key);
}

/// Several things that are wrong, in one message.
class Wrongs {
 public:
  void Add(const Status& status) {
    if (!status.ok()) text_ += StrCat(text_.empty() ? "" : "; ", status.message());
  }
  bool empty() const { return text_.empty(); }
  Status status() const { return empty() ? OkStatus() : InvalidArgumentError(text_); }

 private:
  std::string text_;
};

struct RequiredField {
  const char* key;
  const char* should;  ///< what it should be, in words
};

Status CheckFields(const Json& object, const std::string& where,
                   std::initializer_list<RequiredField> required,
                   std::initializer_list<const char*> optional) {
  constexpr int kMostUnknown = 3;
  if (!object.is_object())
    return Wrong(where.empty() ? "the manifest" : where, "an object", object);
  Wrongs wrongs;
  std::vector<std::string> known;
  for (const RequiredField& field : required) {
    known.emplace_back(field.key);
    if (object.contains(field.key)) continue;
    wrongs.Add(InvalidArgumentError(
        StrCat(Under(where, field.key), " is missing (should be ", field.should, ")")));
  }
  known.insert(known.end(), optional.begin(), optional.end());
  int unknown = 0;
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    if (++unknown > kMostUnknown) continue;
    std::string shown = key.substr(0, 64);
    std::string text = StrCat(Under(where, shown), " is not a field of a manifest");
    if (auto guess = DidYouMean(shown, known)) {
      text += StrCat("; did you mean ", *guess, "?");
    } else {
      text += StrCat("; known are ", HumanList(known));
    }
    wrongs.Add(InvalidArgumentError(std::move(text)));
  }
  return wrongs.status();
}

Result<std::string> Text(const Json& value, const std::string& field,
                         size_t max_bytes = kMaxNameBytes) {
  if (!value.is_string()) return Wrong(field, "text", value);
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty()) return InvalidArgumentError(StrCat(field, " must not be empty"));
  if (text.size() > max_bytes) {
    return InvalidArgumentError(
        StrCat(field, " must be at most ", max_bytes, " bytes long, not ", text.size()));
  }
  if (text.find('\0') != std::string::npos)
    return InvalidArgumentError(StrCat(field, " must not hold a NUL byte"));
  return text;
}

Result<int64_t> Integer(const Json& value, const std::string& field, int64_t least,
                        std::string_view should) {
  bool fits = value.is_number_integer() &&
              !(value.is_number_unsigned() &&
                value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  if (!fits) return Wrong(field, should, value);
  auto number = value.get<int64_t>();
  if (number < least)
    return InvalidArgumentError(StrCat(field, " must be ", should, ", not ", number));
  return number;
}

/// A path that stays inside the folder: "a/b.bin", not "/a", "../a", "a//b" or "./a".
Result<std::string> RelativePath(const Json& value, const std::string& field) {
  ASSIGN_OR_RETURN(std::string path, Text(value, field));
  for (std::string_view part : Split(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return InvalidArgumentError(StrCat(
          field,
          " must be a path relative to the version's folder, without \"..\", \".\" and empty "
          "parts, not \"",
          path, "\""));
    }
  }
  if (path == kManifestFileName)
    return InvalidArgumentError(StrCat(field, " must not be the manifest itself"));
  return path;
}

Result<TensorSpec> ParseTensor(const Json& json, const std::string& where) {
  RETURN_IF_ERROR(CheckFields(json, where,
                              {{"name", "the tensor's name"},
                               {"datatype", "its type, as FP32"},
                               {"shape", "its dimensions, as [-1, 64]"}},
                              {"optional"}));
  TensorSpec spec;
  ASSIGN_OR_RETURN(spec.name, Text(json["name"], Under(where, "name")));
  ASSIGN_OR_RETURN(std::string type, Text(json["datatype"], Under(where, "datatype")));
  std::optional<DataType> parsed = ParseDataType(type);
  if (!parsed || *parsed == DataType::kInvalid) {
    return InvalidArgumentError(StrCat(Under(where, "datatype"),
                                       " must be one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, "
                                       "INT16, INT32, INT64, FP16, FP32, FP64, BF16, BYTES, not \"",
                                       type.substr(0, 64), "\""));
  }
  spec.type = *parsed;
  std::string field = Under(where, "shape");
  const Json& shape = json["shape"];
  if (!shape.is_array()) return Wrong(field, "an array of dimensions", shape);
  if (shape.size() > Shape::kMaxRank) {
    return InvalidArgumentError(
        StrCat(field, " must have at most ", Shape::kMaxRank, " dimensions, not ", shape.size()));
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    ASSIGN_OR_RETURN(int64_t dim, Integer(shape[i], StrCat(field, "[", i, "]"), -1,
                                          "a length, or -1 for any length"));
    spec.shape.Append(dim);
  }
  if (json.contains("optional")) {
    if (!json["optional"].is_boolean())
      return Wrong(Under(where, "optional"), "true or false", json["optional"]);
    spec.optional = json["optional"].get<bool>();
  }
  return spec;
}

Result<std::vector<TensorSpec>> ParseTensors(const Json& json, const std::string& where) {
  if (!json.is_array()) return Wrong(where, "an array of tensors", json);
  if (json.size() > kMaxTensors)
    return InvalidArgumentError(StrCat(where, " must list at most ", kMaxTensors, " tensors"));
  std::vector<TensorSpec> specs;
  std::set<std::string> names;
  for (size_t i = 0; i < json.size(); ++i) {
    std::string at = StrCat(where, "[", i, "]");
    ASSIGN_OR_RETURN(TensorSpec spec, ParseTensor(json[i], at));
    if (!names.insert(spec.name).second) {
      return InvalidArgumentError(
          StrCat(at, ".name must be unique; \"", spec.name, "\" is there twice"));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

Result<Manifest::File> ParseFile(const Json& json, const std::string& where) {
  RETURN_IF_ERROR(CheckFields(json, where,
                              {{"path", "the file, relative to the version's folder"},
                               {"size_bytes", "its size in bytes"},
                               {"sha256", "its SHA-256 as 64 hexadecimal digits"}},
                              {}));
  Manifest::File file;
  ASSIGN_OR_RETURN(file.path, RelativePath(json["path"], Under(where, "path")));
  ASSIGN_OR_RETURN(file.size_bytes,
                   Integer(json["size_bytes"], Under(where, "size_bytes"), 0, "a number of bytes"));
  std::string field = Under(where, "sha256");
  ASSIGN_OR_RETURN(file.sha256, Text(json["sha256"], field));
  bool hex = file.sha256.size() == 64;
  for (char& c : file.sha256) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    hex = hex && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
  }
  if (!hex) return InvalidArgumentError(StrCat(field, " must be 64 hexadecimal digits"));
  return file;
}

Status ParseFiles(const Json& json, Manifest& manifest) {
  if (!json.is_array()) return Wrong("files", "an array", json);
  if (json.empty()) return InvalidArgumentError("files must list at least the model file");
  if (json.size() > kMaxFiles)
    return InvalidArgumentError(StrCat("files must list at most ", kMaxFiles, " files"));
  std::set<std::string> paths;
  for (size_t i = 0; i < json.size(); ++i) {
    std::string at = StrCat("files[", i, "]");
    ASSIGN_OR_RETURN(Manifest::File file, ParseFile(json[i], at));
    if (!paths.insert(file.path).second) {
      return InvalidArgumentError(
          StrCat(at, ".path must be unique; \"", file.path, "\" is there twice"));
    }
    manifest.files.push_back(std::move(file));
  }
  if (manifest.model_file.empty()) return OkStatus();  // which is told of already
  // A model may be a folder of files (a SavedModel): then its name is what they begin with.
  auto next = paths.lower_bound(manifest.model_file);
  bool listed = next != paths.end() && *next == manifest.model_file;
  auto inside = paths.lower_bound(manifest.model_file + "/");
  listed = listed || (inside != paths.end() && inside->starts_with(manifest.model_file + "/"));
  if (!listed) {
    return InvalidArgumentError(StrCat(
        "model_file must be one of the files listed in files, or a folder that holds some; \"",
        manifest.model_file, "\" is not"));
  }
  return OkStatus();
}

Status ParseSignature(const Json& json, Signature& signature) {
  RETURN_IF_ERROR(CheckFields(
      json, "signature", {{"inputs", "a list of tensors"}, {"outputs", "a list of tensors"}}, {}));
  ASSIGN_OR_RETURN(signature.inputs, ParseTensors(json["inputs"], "signature.inputs"));
  ASSIGN_OR_RETURN(signature.outputs, ParseTensors(json["outputs"], "signature.outputs"));
  return OkStatus();
}

Status ParseMetadata(const Json& json, Manifest& manifest) {
  if (!json.is_object()) return Wrong("metadata", "an object of texts", json);
  for (const auto& [key, value] : json.items()) {
    std::string field = Under("metadata", key.substr(0, 64));
    if (!value.is_string()) return Wrong(field, "text", value);
    manifest.metadata[key] = value.get<std::string>();
  }
  return OkStatus();
}

/// The text as a tree without keys that come twice: of these the last would win silently.
Result<Json> ParseStrictJson(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  Status trouble;
  auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      if (static_cast<size_t>(depth) >= kMaxDepth && trouble.ok()) {
        trouble = InvalidArgumentError(
            StrCat("the manifest must be nested at most ", kMaxDepth, " levels deep"));
      }
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key && trouble.ok()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        trouble = InvalidArgumentError(
            StrCat("the field ", key.substr(0, 64), " must come once, not twice"));
      }
    }
    return trouble.ok();  // what is false here is dropped, so that trouble costs no memory
  };
  try {
    Json json = Json::parse(text.begin(), text.end(), watch);
    if (!trouble.ok()) return trouble;
    return json;
  } catch (const Json::exception& e) {
    if (!trouble.ok()) return trouble;
    return InvalidArgumentError(
        StrCat("the manifest must be a JSON object: ", std::string_view(e.what()).substr(0, 200)));
  }
}

Json ToJson(const std::vector<TensorSpec>& specs) {
  Json list = Json::array();
  for (const TensorSpec& spec : specs) {
    Json shape = Json::array();
    for (int64_t dim : spec.shape.dims()) shape.push_back(dim);
    Json tensor = {{"name", spec.name},
                   {"datatype", std::string(DataTypeName(spec.type))},
                   {"shape", std::move(shape)}};
    if (spec.optional) tensor["optional"] = true;
    list.push_back(std::move(tensor));
  }
  return list;
}

}  // namespace

Result<Manifest> ParseManifest(std::string_view text) {
  if (text.size() > kMaxManifestBytes) {
    return InvalidArgumentError(StrCat("the manifest must be at most ", kMaxManifestBytes,
                                       " bytes long, not ", text.size()));
  }
  ASSIGN_OR_RETURN(Json json, ParseStrictJson(text));
  if (!json.is_object()) return Wrong("the manifest", "an object", json);
  // Of another schema nothing else can be said.
  if (json.contains("schema_version")) {
    ASSIGN_OR_RETURN(int64_t schema, Integer(json["schema_version"], "schema_version", 1, "1"));
    if (schema != 1) return InvalidArgumentError(StrCat("schema_version must be 1, not ", schema));
  }
  Wrongs wrongs;
  wrongs.Add(CheckFields(json, "",
                         {{"schema_version", "1"},
                          {"name", "the model's name"},
                          {"version", "the version's number, as its folder is called"},
                          {"format", "what the model is, e.g. onnx"},
                          {"model_file", "the file that holds the model, e.g. model.onnx"},
                          {"files", "a list of {path, size_bytes, sha256}"}},
                         {"signature", "created_at", "metadata"}));
  Manifest manifest;
  auto read = [&](const char* key, auto parse) {
    if (json.contains(key)) wrongs.Add(parse(json[key]));
  };
  auto into = [&](auto& field, auto parse) {
    return [&field, parse](const Json& value) -> Status {
      ASSIGN_OR_RETURN(field, parse(value));
      return OkStatus();
    };
  };
  read("name", into(manifest.name, [](const Json& v) { return Text(v, "name"); }));
  read("version", into(manifest.version, [](const Json& v) {
         return Integer(v, "version", 1, "a whole number from 1");
       }));
  read("format", into(manifest.format, [](const Json& v) { return Text(v, "format"); }));
  read("model_file",
       into(manifest.model_file, [](const Json& v) { return RelativePath(v, "model_file"); }));
  read("files", [&](const Json& value) { return ParseFiles(value, manifest); });
  read("signature", [&](const Json& value) { return ParseSignature(value, manifest.signature); });
  read("created_at",
       into(manifest.created_at, [](const Json& v) { return Text(v, "created_at"); }));
  read("metadata", [&](const Json& value) { return ParseMetadata(value, manifest); });
  if (!wrongs.empty()) return wrongs.status();
  return manifest;
}

std::string ManifestToJson(const Manifest& manifest) {
  Json files = Json::array();
  for (const Manifest::File& file : manifest.files) {
    files.push_back(
        {{"path", file.path}, {"size_bytes", file.size_bytes}, {"sha256", file.sha256}});
  }
  Json json = {{"schema_version", 1},
               {"name", manifest.name},
               {"version", manifest.version},
               {"format", manifest.format},
               {"model_file", manifest.model_file},
               {"files", std::move(files)}};
  if (!manifest.signature.inputs.empty() || !manifest.signature.outputs.empty()) {
    json["signature"] = {{"inputs", ToJson(manifest.signature.inputs)},
                         {"outputs", ToJson(manifest.signature.outputs)}};
  }
  if (!manifest.created_at.empty()) json["created_at"] = manifest.created_at;
  if (!manifest.metadata.empty()) json["metadata"] = manifest.metadata;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace leadsman
