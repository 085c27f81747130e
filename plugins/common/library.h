#pragma once

#include <span>
#include <string>
#include <vector>

#include "failure.h"

namespace leadsman_plugin {

/// Where a runtime's library may lie and what to tell who has not got it.
struct LibrarySearch {
  const char* product;             ///< "XGBoost"
  std::vector<const char*> files;  ///< relative to a runtime_dir or plugin_dir, best first
  const char* soname;              ///< asked of the system's loader last; null: not
  const char* advice;              ///< one sentence or two: which package, which command
};

/// The library's file, without loading it: the option "library" when the operator named one, else
/// the first of `files` below the folders of the options, else the soname. Throws Failure:
/// INVALID_ARGUMENT for an option that is none of these, UNAVAILABLE with the advice and every
/// place looked at.
std::string FindLibrary(const LibrarySearch& search, std::span<const leadsman_option> options);

/// dlopen, never closed: runtimes leave thread-local destructors behind. `deep`: the library finds
/// its own symbols before those of the process. Throws Failure, UNAVAILABLE.
void* OpenLibrary(const LibrarySearch& search, const std::string& file, bool deep);

/// Throws Failure, UNAVAILABLE, when the library lacks the symbol.
void* FindSymbol(void* library, const std::string& file, const char* name);

/// FindSymbol, one after the other, into pointers of the functions' own types.
class SymbolFinder {
 public:
  /// Both must outlive it.
  SymbolFinder(void* library, const std::string& file) : library_(library), file_(file) {}
  template <typename F>
  void operator()(F& function, const char* name) const {
    function = reinterpret_cast<F>(FindSymbol(library_, file_, name));
  }

 private:
  void* const library_;
  const std::string& file_;
};

/// What the file "version" (written by tools/fetch_runtimes.sh) or "VERSION.txt" (in PyPI's packages)
/// in the library's folder or the one above says; else `otherwise`.
std::string VersionBeside(const std::string& file, const char* otherwise);

}  // namespace leadsman_plugin
