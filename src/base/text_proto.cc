#include "base/text_proto.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <optional>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

namespace pb = google::protobuf;

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr int kMaxDepth = 32;
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

class Collector final : public pb::io::ErrorCollector {
 public:
  Collector(std::vector<ConfigProblem>& problems, const pb::DescriptorPool& pool,
            const std::string& passed_over)
      : problems_(problems), pool_(pool), passed_over_(passed_over) {}
  void AddError(int line, pb::io::ColumnNumber column, const std::string& message) override {
    if (problems_.size() >= kMaxProblems) return;
    // protobuf counts from 0, and has -1 for the end of the text.
    problems_.push_back({"", line + 1, column + 1, InWordsOfTheFile(message, pool_)});
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
  const pb::DescriptorPool& pool_;
  const std::string& passed_over_;
};

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
  Collector collector(problems_, *message.GetDescriptor()->file()->pool(), passed_over_);
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&collector);
  parser.WriteLocationsTo(&locations_->tree);
  parser.SetRecursionLimit(kMaxDepth);
  parser.AllowUnknownField(true);
  bool parsed = parser.ParseFromString(std::string(text), &message);
  if (!parsed && problems_.empty())
    problems_.push_back({"", 0, 0, "is not in protobuf's text format"});
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
