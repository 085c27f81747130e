#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leadsman {

/// One thing wrong in a configuration: where, and what to do about it.
struct ConfigProblem {
  std::string path;  ///< "models[0].rollout.steps[1].weight"; empty for the document as a whole
  int line = 0;      ///< from 1; 0 when the text has no lines to speak of (JSON bodies)
  int column = 0;
  std::string message;
};

/// "leadsman.yaml:12:5: models[0].rollout.steps[1].wieght: unknown key; did you mean weight?", one
/// problem a line, in the order of the text.
std::string FormatProblems(std::string_view file, const std::vector<ConfigProblem>& problems);

/// What a YAML or JSON document says, before anyone knows what it should say. A value type;
/// positions are kept so that errors can point at the text.
struct ConfigNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  int line = 0;
  int column = 0;
  std::string text;     ///< kScalar
  bool quoted = false;  ///< kScalar: written in quotes, so text and nothing else
  std::vector<ConfigNode> items;
  std::vector<Entry> entries;  ///< kMap, in the order of the text; keys are unique

  /// Null when absent.
  const ConfigNode* Find(std::string_view key) const;
  /// The node at "steps[1].weight" below this one, or the nearest one above it that exists.
  const ConfigNode& Nearest(std::string_view path) const;
};
struct ConfigNode::Entry {
  std::string key;
  int line = 0;
  int column = 0;
  ConfigNode value;
};

/// What a document may cost before it is refused.
struct ConfigLimits {
  size_t max_bytes = 1 << 20;
  int max_depth = 32;
  size_t max_nodes = 100'000;  ///< after aliases are filled in: a bomb of anchors ends here
};

/// One YAML document (of which JSON is nearly a subset). False when it cannot be read, with the
/// reason in `problems`.
bool ParseYaml(std::string_view text, const ConfigLimits& limits, ConfigNode& root,
               std::vector<ConfigProblem>& problems);
/// Strict JSON, for bodies of the API. Positions are 0.
bool ParseJson(std::string_view text, const ConfigLimits& limits, ConfigNode& root,
               std::vector<ConfigProblem>& problems);

}  // namespace leadsman
