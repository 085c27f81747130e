#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "backend/backend.h"
#include "backend/python/python_backend.h"
#include "support/test_paths.h"

extern "C" char** environ;  // NOLINT: POSIX

namespace leadsman {

/// A host of Python workers for tests: the plug-ins of this build, the interpreter that `./dev test` made
/// (LEADSMAN_PYTHON), which has numpy and scikit-learn. A test whose models do not load there fails.
inline python::PythonOptions TestPythonOptions() {
  python::PythonOptions options;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t sign = text.find('=');
    if (sign != std::string_view::npos)
      options.environment.emplace(text.substr(0, sign), text.substr(sign + 1));
  }
  options.plugin_dirs = {BinaryDir() + "/plugins"};
  const char* interpreter = std::getenv("LEADSMAN_PYTHON");
  const char* home = std::getenv("HOME");
  options.interpreter = interpreter != nullptr ? interpreter
                                               : std::string(home != nullptr ? home : "") +
                                                     "/.cache/leadsman/venv/bin/python";
  return options;
}

/// Of one host for the whole test program.
inline Result<std::shared_ptr<Backend>> PythonBackendForTest(const std::string& format) {
  static const BackendRegistry* registry = [] {
    auto* made = new BackendRegistry;
    python::PythonHost::Create(SystemClock(), TestPythonOptions())->Register(*made);
    return made;
  }();
  return registry->ForFormat(format);
}

}  // namespace leadsman
