// A file of tokens, and patterns of models.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "auth/authorizer.h"
#include "auth/token_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto file = leadsman::auth::ParseTokenFile(text, "tokens.yaml");
  if (file.ok()) {
    for (const auto& grant : file->grants) (void)grant.Covers(leadsman::ModelScope::One("iris"));
  }
  if (size < 4096)
    (void)leadsman::auth::MatchesPattern(text.substr(0, size / 2), text.substr(size / 2));
  return 0;
}
