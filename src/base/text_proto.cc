#include "base/text_proto.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <cctype>
#include <map>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

namespace pb = google::protobuf;

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr int kMaxDepth = 32;
/// What reads and writes JSON calls itself for each level.
constexpr int kMaxJsonDepth = 100;
constexpr size_t kMaxProblems = 100;
constexpr std::string_view kNoField = " has no field named ";

/// The text between the first pair of quotes after `at`, and where it ends.
std::optional<std::string> Quoted(const std::string& text, size_t& at) {
  size_t begin = text.find('"', at);
  if (begin == std::string::npos) return std::nullopt;
  size_t end = text.find('"', begin + 1);
  if (end == std::string::npos) return std::nullopt;
  at = end + 1;
  return text.substr(begin + 1, end - begin - 1);
}

/// protobuf names its message types, which nobody who writes the file has ever seen: says the same
/// in the words of the file.
std::string InWordsOfTheFile(const std::string& message, const pb::DescriptorPool& pool) {
  if (message.find(kNoField) == std::string::npos) return message;
  size_t at = 0;
  std::optional<std::string> type = Quoted(message, at);
  std::optional<std::string> field = type ? Quoted(message, at) : std::nullopt;
  const pb::Descriptor* descriptor = field ? pool.FindMessageTypeByName(*type) : nullptr;
  if (descriptor == nullptr) return message;
  std::vector<std::string> known;
  for (int i = 0; i < descriptor->field_count(); ++i) known.push_back(descriptor->field(i)->name());
  std::optional<std::string> near = DidYouMean(*field, known);
  return StrCat("unknown field ", *field, " in ", descriptor->name(),
                near ? StrCat("; did you mean ", *near, "?")
                     : StrCat("; it has ", HumanList(known, "no fields")));
}

/// Where in the text something stands: within which blocks, and behind the name of which field.
struct Place {
  std::string path;  ///< "model_config_list.config[1].name"; empty: not known
  const pb::FieldDescriptor* field = nullptr;  ///< the last of it; null: not behind a field's name
  std::string block;                           ///< within which it stands; empty: in none
};

/// Follows the names and braces of a text, which need not be right, as far as the words that stand before a place.
class PlaceFinder {
 public:
  PlaceFinder(std::string_view text, const pb::Descriptor* root) : text_(text) {
    blocks_.push_back({root, "", {}});
  }

  /// `line` and `column` as protobuf counts them: from 0, a tab leads to the next multiple of eight.
  Place Find(int line, int column) {
    while (Skip(), at_ < text_.size() && (line_ < line || (line_ == line && column_ < column)))
      Take();
    const Block& block = blocks_.back();
    if (field_ != nullptr) return {Join(block.path, NameOf(block)), field_, block.path};
    return {block.path, nullptr, block.path};
  }

 private:
  struct Block {
    const pb::Descriptor* type;  ///< null: nothing is known of what stands in it
    std::string path;
    std::map<std::string, int> seen;  ///< how often each field of it
  };
  static std::string Join(const std::string& path, const std::string& name) {
    return path.empty() ? name : StrCat(path, ".", name);
  }
  std::string NameOf(const Block& block) const {
    if (!field_->is_repeated()) return field_->name();
    auto seen = block.seen.find(field_->name());
    return StrCat(field_->name(), "[", seen == block.seen.end() ? 0 : seen->second - 1, "]");
  }

  void Step() {
    const char c = text_[at_++];
    if (c == '\n') {
      ++line_;
      column_ = 0;
    } else {
      column_ += c == '\t' ? 8 - column_ % 8 : 1;
    }
  }
  void Skip() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') Step();
      } else if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        Step();
      } else {
        return;
      }
    }
  }
  static bool IsLetter(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' ||
           c == '+';
  }
  /// One word, text in quotes, or sign.
  void Take() {
    const char c = text_[at_];
    if (c == '"' || c == '\'') {
      Step();
      while (at_ < text_.size() && text_[at_] != c && text_[at_] != '\n') {
        if (text_[at_] == '\\' && at_ + 1 < text_.size()) Step();
        Step();
      }
      if (at_ < text_.size() && text_[at_] == c) Step();
      after_colon_ = false;
    } else if (IsLetter(c)) {
      const size_t begin = at_;
      while (at_ < text_.size() && IsLetter(text_[at_])) Step();
      TakeWord(text_.substr(begin, at_ - begin));
    } else {
      Step();
      TakeSign(c);
    }
  }
  void TakeWord(std::string_view word) {
    if (after_colon_ || in_list_) {  // a value
      after_colon_ = false;
      return;
    }
    Block& block = blocks_.back();
    field_ = block.type != nullptr ? block.type->FindFieldByName(std::string(word)) : nullptr;
    if (field_ != nullptr) ++block.seen[field_->name()];
  }
  void TakeSign(char c) {
    if (c == ':') {
      after_colon_ = true;
      return;
    }
    after_colon_ = false;
    if (c == '[') {
      in_list_ = true;
    } else if (c == ']') {
      in_list_ = false;
    } else if (c == '{' || c == '<') {
      Block inner{field_ != nullptr ? field_->message_type() : nullptr, blocks_.back().path, {}};
      if (field_ != nullptr) inner.path = Join(inner.path, NameOf(blocks_.back()));
      blocks_.push_back(std::move(inner));
      field_ = nullptr;
      in_list_ = false;
    } else if (c == '}' || c == '>') {
      if (blocks_.size() > 1) blocks_.pop_back();
      field_ = nullptr;
    }
  }

  const std::string_view text_;
  size_t at_ = 0;
  int line_ = 0, column_ = 0;
  std::vector<Block> blocks_;
  const pb::FieldDescriptor* field_ =
      nullptr;  ///< the last one that was named in the innermost block
  bool after_colon_ = false;
  bool in_list_ = false;
};

/// How a field is written.
std::string HowToWrite(const pb::FieldDescriptor& field) {
  const std::string& name = field.name();
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: {
      const pb::Descriptor& type = *field.message_type();
      if (type.field_count() == 1 && type.field(0)->name() == "value")
        return StrCat("a block with its value: ", name, " { value: … }");
      std::vector<std::string> inner;
      for (int i = 0; i < type.field_count(); ++i) inner.push_back(type.field(i)->name());
      return StrCat("a block: ", name, " { … } with ", HumanList(inner, "nothing"));
    }
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return StrCat("a text in quotes: ", name, ": \"…\"");
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return StrCat(name, ": true or ", name, ": false");
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      std::vector<std::string> values;
      for (int i = 0; i < field.enum_type()->value_count(); ++i)
        values.push_back(field.enum_type()->value(i)->name());
      return StrCat("one of ", HumanList(values));
    }
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return StrCat("a number: ", name, ": 0.5");
    case pb::FieldDescriptor::CPPTYPE_UINT32:
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      return StrCat("a whole number from 0: ", name, ": 1");
    default:
      return StrCat("a whole number: ", name, ": 1");
  }
}

class Collector final : public pb::io::ErrorCollector {
 public:
  Collector(std::vector<ConfigProblem>& problems, const pb::Descriptor& root, std::string_view text,
            const std::string& passed_over)
      : problems_(problems), root_(root), text_(text), passed_over_(passed_over) {}
  void AddError(int line, pb::io::ColumnNumber column, const std::string& message) override {
    if (problems_.size() >= kMaxProblems) return;
    // protobuf counts from 0, and has -1 for the end of the text.
    const bool known = line >= 0 && column >= 0;
    ConfigProblem problem{"", line + 1, column + 1, ""};
    if (message.find(kNoField) != std::string::npos) {
      problem.message = InWordsOfTheFile(message, *root_.file()->pool());
      problems_.push_back(std::move(problem));
      return;
    }
    Place place;
    if (known) place = PlaceFinder(text_, &root_).Find(line, column);
    if (message == "Expected identifier, got: ") {
      problem.path = std::move(place.block);
      problem.message = "the text ends before the } of this block";
    } else {
      problem.path = std::move(place.path);
      problem.message = message.ends_with('.') ? message.substr(0, message.size() - 1) : message;
      const bool twice = message.find("multiple times") != std::string::npos;
      if (place.field != nullptr && !twice)
        problem.message += StrCat("; it is written as ", HowToWrite(*place.field));
    }
    problems_.push_back(std::move(problem));
  }

  /// The parser goes on after unknown fields, so that those of a block nobody reads can be let go.
  void AddWarning(int line, pb::io::ColumnNumber column, const std::string& message) override {
    size_t at = 0;
    std::optional<std::string> type = Quoted(message, at);
    bool unknown = message.find(kNoField) != std::string::npos;
    if (unknown && type && !passed_over_.empty() && *type == passed_over_) return;
    if (unknown) AddError(line, column, message);
  }

 private:
  std::vector<ConfigProblem>& problems_;
  const pb::Descriptor& root_;
  const std::string_view text_;
  const std::string& passed_over_;
};

/// Finds the types that stand in an Any in a package of our own.
class AnyFinder final : public pb::TextFormat::Finder {
 public:
  AnyFinder(const std::string& from, const std::string& to) : from_(from), to_(to) {}
  const pb::Descriptor* FindAnyType(const pb::Message& message, const std::string& /*prefix*/,
                                    const std::string& name) const override {
    if (from_.empty() || !name.starts_with(from_ + ".")) return nullptr;
    return message.GetDescriptor()->file()->pool()->FindMessageTypeByName(
        to_ + name.substr(from_.size()));
  }

 private:
  const std::string& from_;
  const std::string& to_;
};

/// Makes a JSON document ready for protobuf's own reader: unknown names are problems, told with their path; what is null or
/// stands in a type that is passed over goes.
class JsonPruner {
 public:
  JsonPruner(const std::string& passed_over, std::vector<ConfigProblem>& problems)
      : passed_over_(passed_over), problems_(problems) {}

  /// Goes as deep as the message types do.
  void Object(nlohmann::json& object, const pb::Descriptor& type, const std::string& path) {
    if (!object.is_object()) return;  // which protobuf's reader says
    for (auto it = object.begin(); it != object.end();) {
      const pb::FieldDescriptor* field = type.FindFieldByName(it.key());
      if (field == nullptr) field = type.FindFieldByCamelcaseName(it.key());
      if (it->is_null()) {
        it = object.erase(it);
        continue;
      }
      if (field == nullptr) {
        Unknown(it.key(), type, path);
      } else if (field->message_type() != nullptr) {
        Value(*it, *field, path.empty() ? field->name() : StrCat(path, ".", field->name()));
      }
      ++it;
    }
  }

 private:
  void Value(nlohmann::json& value, const pb::FieldDescriptor& field, const std::string& path) {
    if (field.is_map()) {
      const pb::FieldDescriptor& of = *field.message_type()->FindFieldByName("value");
      if (of.message_type() == nullptr || !value.is_object()) return;
      for (auto& [key, one] : value.items()) Block(one, *of.message_type(), path);
    } else if (field.is_repeated() && value.is_array()) {
      size_t index = 0;
      for (nlohmann::json& one : value)
        Block(one, *field.message_type(), StrCat(path, "[", index++, "]"));
    } else {
      Block(value, *field.message_type(), path);
    }
  }
  void Block(nlohmann::json& value, const pb::Descriptor& type, const std::string& path) {
    if (type.full_name() == passed_over_) {
      value = nlohmann::json::object();
    } else {
      Object(value, type, path);
    }
  }
  void Unknown(const std::string& name, const pb::Descriptor& type, const std::string& path) {
    if (problems_.size() >= kMaxProblems) return;
    std::vector<std::string> known;
    for (int i = 0; i < type.field_count(); ++i) known.push_back(type.field(i)->name());
    const std::string shown(CutUtf8(name, 64));
    std::optional<std::string> near = DidYouMean(shown, known);
    problems_.push_back({path, 0, 0,
                         StrCat("unknown field ", shown, " in ", type.name(),
                                near ? StrCat("; did you mean ", *near, "?")
                                     : StrCat("; it has ", HumanList(known, "no fields")))});
  }

  const std::string& passed_over_;
  std::vector<ConfigProblem>& problems_;
};

/// "[json.exception.parse_error.101] parse error at line 1, column 3: …" without what is the library's.
std::string JsonTrouble(const std::exception& error) {
  std::string_view what = error.what();
  const size_t end = what.find("] ");
  return std::string(end == std::string_view::npos ? what : what.substr(end + 2));
}

}  // namespace

struct TextProto::Locations {
  pb::TextFormat::ParseInfoTree tree;
  const pb::Descriptor* root = nullptr;
};

TextProto::TextProto() = default;
TextProto::~TextProto() = default;

Status TextProto::Load(const std::string& path, pb::Message& message) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxFileBytes));
  return Parse(path, text, message);
}

Status TextProto::Parse(std::string_view name, std::string_view text, pb::Message& message) {
  name_.assign(name);
  problems_.clear();
  locations_ = std::make_unique<Locations>();
  locations_->root = message.GetDescriptor();
  Collector collector(problems_, *message.GetDescriptor(), text, passed_over_);
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.WriteLocationsTo(&locations_->tree);
  parser.SetRecursionLimit(kMaxDepth);
  parser.AllowUnknownField(true);
  const AnyFinder finder(any_from_, any_to_);
  parser.SetFinder(&finder);
  bool parsed = parser.ParseFromString(std::string(text), &message);
  if (!parsed && problems_.empty())
    problems_.push_back({"", 0, 0, "is not in protobuf's text format"});
  return status();
}

Status TextProto::ParseJson(std::string_view name, std::string_view json, pb::Message& message) {
  name_.assign(name);
  problems_.clear();
  locations_ = nullptr;
  if (json.size() > kMaxFileBytes) {
    Add("", StrCat("is longer than ", kMaxFileBytes, " bytes"));
    return status();
  }
  std::string pruned;
  bool too_deep = false;
  const auto deep = [] { return StrCat("is nested deeper than ", kMaxJsonDepth, " levels"); };
  try {
    nlohmann::json document = nlohmann::json::parse(
        json, [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
          too_deep = too_deep || depth > kMaxJsonDepth;
          return !too_deep;  // what is deeper is read and let go
        });
    if (too_deep) {
      Add("", deep());
      return status();
    }
    if (!document.is_object()) {
      Add("", "must be a JSON object");
      return status();
    }
    JsonPruner(passed_over_, problems_).Object(document, *message.GetDescriptor(), "");
    if (problems_.empty()) pruned = document.dump();
  } catch (const nlohmann::json::exception& error) {
    Add("", too_deep ? deep() : JsonTrouble(error));
  }
  if (!problems_.empty()) return status();
  pb::util::JsonParseOptions options;
  options.case_insensitive_enum_parsing = true;
  const auto read = pb::util::JsonStringToMessage(pruned, &message, options);
  if (!read.ok()) Add("", std::string(read.message()));
  return status();
}

void TextProto::Add(const std::string& path, std::string message) {
  if (problems_.size() >= kMaxProblems) return;
  ConfigProblem problem{path, 0, 0, std::move(message)};
  const pb::TextFormat::ParseInfoTree* tree = locations_ ? &locations_->tree : nullptr;
  const pb::Descriptor* type = locations_ ? locations_->root : nullptr;
  for (std::string_view step : Split(path, '.')) {
    if (tree == nullptr || type == nullptr) break;
    int index = 0;
    size_t bracket = step.find('[');
    if (bracket != std::string_view::npos) {
      index = static_cast<int>(
          ParseInt64(step.substr(bracket + 1, step.size() - bracket - 2)).value_or(0));
      step = step.substr(0, bracket);
    }
    const pb::FieldDescriptor* field = type->FindFieldByName(std::string(step));
    if (field == nullptr) break;
    pb::TextFormat::ParseLocation at = tree->GetLocation(field, field->is_repeated() ? index : -1);
    if (at.line < 0) break;
    problem.line = at.line + 1;
    problem.column = at.column + 1;
    type = field->message_type();
    tree = type != nullptr ? tree->GetTreeForNested(field, field->is_repeated() ? index : -1)
                           : nullptr;
  }
  problems_.push_back(std::move(problem));
}

Status TextProto::status() const {
  if (problems_.empty()) return OkStatus();
  return InvalidArgumentError(FormatProblems(name_, problems_));
}

}  // namespace leadsman
