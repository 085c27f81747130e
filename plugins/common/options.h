#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "failure.h"

namespace leadsman_plugin {

/// The options of a model, taken one by one; what nobody took is refused by name. All functions
/// throw Failure, INVALID_ARGUMENT.
///   Options options(spec);
///   threads = options.Number("threads", 1, 1, 256);
///   options.Finish();
class Options {
 public:
  explicit Options(const leadsman_load_spec& spec);

  std::string Text(const char* key, std::string_view otherwise);
  int64_t Number(const char* key, int64_t otherwise, int64_t least, int64_t most);
  /// The index of the value in `choices`; the first one when the option was not given.
  size_t Choice(const char* key, std::initializer_list<const char*> choices);
  /// Refuses what was not asked for.
  void Finish() const;

 private:
  const char* Find(const char* key);

  const leadsman_load_spec& spec_;
  std::vector<const char*> known_;
};

}  // namespace leadsman_plugin
