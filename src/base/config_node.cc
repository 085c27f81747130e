#include "base/config_node.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman {
namespace {

/// Builds a tree from the events of either parser, within the limits. The first thing that breaks a
/// limit or the rules of the format ends it.
class TreeBuilder {
 public:
  TreeBuilder(const ConfigLimits& limits, ConfigNode& root) : limits_(limits), root_(root) {}

  struct Position {
    int line = 0;
    int column = 0;
  };

  bool Scalar(Position at, std::string text, bool quoted) {
    if (!open_.empty() && ExpectsKey()) return Key(at, std::move(text));
    ConfigNode* node = Place(at);
    if (!node) return false;
    node->kind = ConfigNode::Kind::kScalar;
    node->text = std::move(text);
    node->quoted = quoted;
    return true;
  }
  bool Null(Position at) {
    if (!open_.empty() && ExpectsKey()) return Key(at, "");
    return Place(at) != nullptr;
  }
  bool Open(Position at, ConfigNode::Kind kind) {
    if (!open_.empty() && ExpectsKey())
      return Fail(at, "a key must be a plain word, not a list or a map");
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      return Fail(at, StrCat("nested deeper than ", limits_.max_depth, " levels"));
    }
    ConfigNode* node = Place(at);
    if (!node) return false;
    node->kind = kind;
    // Pointers into the tree stay good: the vectors above do not grow while this node is open.
    open_.push_back({node, {}, false});
    return true;
  }
  ConfigNode* Close() {
    ConfigNode* node = open_.back().node;
    open_.pop_back();
    return node;
  }
  bool Copy(Position at, const ConfigNode& original) {
    if (!open_.empty() && ExpectsKey()) return Fail(at, "a key cannot be an alias");
    if (static_cast<int>(open_.size()) + Depth(original) > limits_.max_depth) {
      return Fail(at, StrCat("nested deeper than ", limits_.max_depth, " levels"));
    }
    if (!Count(at, Size(original))) return false;
    ConfigNode* node = Place(at);
    if (!node) return false;
    *node = original;
    return true;
  }
  bool Fail(Position at, std::string message) {
    if (!problem_) problem_ = ConfigProblem{PathOfOpen(), at.line, at.column, std::move(message)};
    return false;
  }

  const std::optional<ConfigProblem>& problem() const { return problem_; }

 private:
  struct Level {
    ConfigNode* node;
    std::set<std::string> keys;
    bool has_key;  ///< of a map: the last entry waits for its value
  };

  bool ExpectsKey() const {
    return open_.back().node->kind == ConfigNode::Kind::kMap && !open_.back().has_key;
  }
  bool Count(Position at, size_t more) {
    nodes_ += more;
    if (nodes_ > limits_.max_nodes)
      return Fail(at, StrCat("more than ", limits_.max_nodes, " values in one document"));
    return true;
  }
  bool Key(Position at, std::string key) {
    Level& level = open_.back();
    if (key == "<<")
      return Fail(at, "merge keys (<<) are not supported; use an alias for the whole value");
    if (!level.keys.insert(key).second) {
      auto first = std::find_if(level.node->entries.begin(), level.node->entries.end(),
                                [&](const ConfigNode::Entry& e) { return e.key == key; });
      std::string where = first->line > 0 ? StrCat(" (first in line ", first->line, ")") : "";
      level.node->entries.push_back({key, at.line, at.column, {}});  // for its path
      return Fail(at, StrCat("key ", key, " is given twice", where));
    }
    level.node->entries.push_back({std::move(key), at.line, at.column, {}});
    level.has_key = true;
    return true;
  }
  ConfigNode* Place(Position at) {
    if (!Count(at, 1)) return nullptr;
    ConfigNode* node = nullptr;
    if (open_.empty()) {
      node = &root_;
      *node = ConfigNode();
    } else if (Level& level = open_.back(); level.node->kind == ConfigNode::Kind::kList) {
      node = &level.node->items.emplace_back();
    } else {
      node = &level.node->entries.back().value;
      level.has_key = false;
    }
    node->line = at.line;
    node->column = at.column;
    return node;
  }
  std::string PathOfOpen() const {
    std::string path;
    for (const Level& level : open_) {
      if (level.node->kind == ConfigNode::Kind::kList) {
        if (!level.node->items.empty()) path += StrCat("[", level.node->items.size() - 1, "]");
      } else if (!level.node->entries.empty()) {
        path += StrCat(path.empty() ? "" : ".", level.node->entries.back().key);
      }
    }
    return path;
  }
  static int Depth(const ConfigNode& node) {
    int below = 0;
    for (const ConfigNode& item : node.items) below = std::max(below, Depth(item));
    for (const ConfigNode::Entry& entry : node.entries) below = std::max(below, Depth(entry.value));
    return below +
           (node.kind == ConfigNode::Kind::kList || node.kind == ConfigNode::Kind::kMap ? 1 : 0);
  }
  static size_t Size(const ConfigNode& node) {
    size_t size = 1;
    for (const ConfigNode& item : node.items) size += Size(item);
    for (const ConfigNode::Entry& entry : node.entries) size += Size(entry.value);
    return size;
  }

  const ConfigLimits& limits_;
  ConfigNode& root_;
  std::vector<Level> open_;
  size_t nodes_ = 0;
  std::optional<ConfigProblem> problem_;
};

/// Thrown out of yaml-cpp's event handler to stop it; the builder has the reason.
struct StopParsing {};

class YamlEvents final : public YAML::EventHandler {
 public:
  explicit YamlEvents(TreeBuilder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Continue(builder_.Null(At(mark)));
    if (anchor) anchors_[anchor] = ConfigNode();
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      Continue(builder_.Fail(At(mark), "alias of a value that is not complete yet"));
    }
    Continue(builder_.Copy(At(mark), found->second));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    // "!" is how yaml-cpp says: was in quotes.
    bool quoted = tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!quoted && (value == "~" || value == "null" || value == "Null" || value == "NULL")) {
      OnNull(mark, anchor);
      return;
    }
    Continue(builder_.Scalar(At(mark), value, quoted));
    if (anchor) {
      ConfigNode copy;
      copy.kind = ConfigNode::Kind::kScalar;
      copy.text = value;
      copy.quoted = quoted;
      copy.line = At(mark).line;
      copy.column = At(mark).column;
      anchors_[anchor] = std::move(copy);
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Start(mark, tag, anchor, ConfigNode::Kind::kList);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Start(mark, tag, anchor, ConfigNode::Kind::kMap);
  }
  void OnMapEnd() override { End(); }

 private:
  static TreeBuilder::Position At(const YAML::Mark& mark) {
    return {mark.line + 1, mark.column + 1};
  }
  static void Continue(bool ok) {
    if (!ok) throw StopParsing();
  }
  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    static constexpr std::string_view kCore = "tag:yaml.org,2002:";
    std::string_view name = tag;
    if (name.starts_with(kCore)) {
      name.remove_prefix(kCore.size());
      for (std::string_view known : {"str", "int", "float", "bool", "null", "seq", "map"}) {
        if (name == known) return;
      }
    }
    if (tag.empty() || tag == "?" || tag == "!") return;
    Continue(builder_.Fail(At(mark), StrCat("tags are not supported (", tag, ")")));
  }
  void Start(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
             ConfigNode::Kind kind) {
    CheckTag(mark, tag);
    Continue(builder_.Open(At(mark), kind));
    open_anchors_.push_back(anchor);
  }
  void End() {
    ConfigNode* node = builder_.Close();
    if (open_anchors_.back()) anchors_[open_anchors_.back()] = *node;
    open_anchors_.pop_back();
  }

  TreeBuilder& builder_;
  std::map<YAML::anchor_t, ConfigNode> anchors_;
  std::vector<YAML::anchor_t> open_anchors_;
};

class JsonEvents final : public nlohmann::json::json_sax_t {
 public:
  explicit JsonEvents(TreeBuilder& builder) : builder_(builder) {}

  bool null() override { return builder_.Null({}); }
  bool boolean(bool value) override { return builder_.Scalar({}, value ? "true" : "false", false); }
  bool number_integer(number_integer_t value) override {
    return builder_.Scalar({}, std::to_string(value), false);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return builder_.Scalar({}, std::to_string(value), false);
  }
  bool number_float(number_float_t, const string_t& text) override {
    return builder_.Scalar({}, text, false);
  }
  bool string(string_t& value) override { return builder_.Scalar({}, value, true); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return builder_.Open({}, ConfigNode::Kind::kMap); }
  bool key(string_t& value) override { return builder_.Scalar({}, value, true); }
  bool end_object() override { return builder_.Close() != nullptr; }
  bool start_array(size_t) override { return builder_.Open({}, ConfigNode::Kind::kList); }
  bool end_array() override { return builder_.Close() != nullptr; }
  bool parse_error(size_t byte, const std::string&, const nlohmann::json::exception&) override {
    return builder_.Fail({}, StrCat("not valid JSON at byte ", byte));
  }

 private:
  TreeBuilder& builder_;
};

bool TooLarge(std::string_view text, const ConfigLimits& limits,
              std::vector<ConfigProblem>& problems) {
  if (text.size() <= limits.max_bytes) return false;
  problems.push_back({"", 0, 0,
                      StrCat("the document has ", text.size(), " bytes; at most ", limits.max_bytes,
                             " are read")});
  return true;
}

}  // namespace

std::string FormatProblems(std::string_view file, const std::vector<ConfigProblem>& problems) {
  std::vector<ConfigProblem> sorted = problems;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const ConfigProblem& a, const ConfigProblem& b) {
                     return std::pair(a.line, a.column) < std::pair(b.line, b.column);
                   });
  std::string out;
  for (const ConfigProblem& problem : sorted) {
    if (!out.empty()) out += '\n';
    out += file;
    if (problem.line > 0)
      out += StrCat(file.empty() ? "line " : ":", problem.line, ":", problem.column);
    if (!file.empty() || problem.line > 0) out += ": ";
    if (!problem.path.empty()) out += StrCat(problem.path, ": ");
    out += problem.message;
  }
  return out;
}

const ConfigNode* ConfigNode::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

const ConfigNode& ConfigNode::Nearest(std::string_view path) const {
  const ConfigNode* node = this;
  while (!path.empty()) {
    const ConfigNode* next = nullptr;
    if (path.front() == '.') path.remove_prefix(1);
    if (path.starts_with('[')) {
      size_t end = path.find(']');
      auto index = ParseInt64(path.substr(1, end == std::string_view::npos ? end : end - 1));
      if (index && *index >= 0 && static_cast<size_t>(*index) < node->items.size())
        next = &node->items[*index];
      path = end == std::string_view::npos ? std::string_view() : path.substr(end + 1);
    } else {
      size_t end = std::min(path.find_first_of(".["), path.size());
      next = node->Find(path.substr(0, end));
      path = path.substr(end);
    }
    if (!next) break;
    node = next;
  }
  return *node;
}

bool ParseYaml(std::string_view text, const ConfigLimits& limits, ConfigNode& root,
               std::vector<ConfigProblem>& problems) {
  if (TooLarge(text, limits, problems)) return false;
  root = ConfigNode();
  TreeBuilder builder(limits, root);
  auto fail = [&](int line, int column, std::string message) {
    problems.push_back({"", line, column, std::move(message)});
    return false;
  };
  // yaml-cpp reads a NUL as the end of the text: what follows would be ignored in silence.
  if (text.find('\0') != std::string_view::npos)
    return fail(0, 0, "the document contains a NUL byte");
  try {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    YamlEvents events(builder);
    parser.HandleNextDocument(events);
    if (parser) {
      ConfigNode ignored;
      TreeBuilder next(limits, ignored);
      YamlEvents next_events(next);
      if (parser.HandleNextDocument(next_events))
        return fail(0, 0, "more than one document (---) in one file");
    }
  } catch (const StopParsing&) {
    if (builder.problem()) {
      problems.push_back(*builder.problem());
      return false;
    }
    return fail(0, 0, "more than one document (---) in one file");
  } catch (const YAML::Exception& e) {
    bool known = !e.mark.is_null();
    return fail(known ? e.mark.line + 1 : 0, known ? e.mark.column + 1 : 0,
                StrCat("not valid YAML: ", e.msg));
  } catch (const std::exception& e) {
    return fail(0, 0, StrCat("not valid YAML: ", e.what()));
  }
  return true;
}

bool ParseJson(std::string_view text, const ConfigLimits& limits, ConfigNode& root,
               std::vector<ConfigProblem>& problems) {
  if (TooLarge(text, limits, problems)) return false;
  root = ConfigNode();
  TreeBuilder builder(limits, root);
  JsonEvents events(builder);
  bool ok = false;
  try {
    ok = nlohmann::json::sax_parse(text, &events);
  } catch (const std::exception& e) {
    builder.Fail({}, StrCat("not valid JSON: ", e.what()));
  }
  if (ok) return true;
  problems.push_back(builder.problem().value_or(ConfigProblem{"", 0, 0, "not valid JSON"}));
  return false;
}

}  // namespace leadsman
