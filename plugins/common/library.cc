#include "library.h"

#include <dlfcn.h>

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace leadsman_plugin {
namespace {

// The sanitizers refuse DEEPBIND, as in the host (src/backend/plugin_host.cc).
#ifdef LEADSMAN_SANITIZED
constexpr int kDeep = 0;
#else
constexpr int kDeep = RTLD_DEEPBIND;
#endif

Failure Missing(const LibrarySearch& search, const std::string& looked_for) {
  return {LEADSMAN_UNAVAILABLE, std::string(search.product) + " is not on this machine: " +
                                    search.advice + " Looked for:" + looked_for};
}

}  // namespace

std::string FindLibrary(const LibrarySearch& search, std::span<const leadsman_option> options) {
  std::string looked_for;
  const char* named = nullptr;
  std::vector<std::string> folders;
  for (const leadsman_option& option : options) {
    std::string_view key = option.key;
    if (key == "library") {
      named = option.value;
    } else if (key == "runtime_dir" || key == "plugin_dir") {
      folders.emplace_back(option.value);
    } else {
      throw Failure{LEADSMAN_INVALID_ARGUMENT,
                    "unknown option \"" + std::string(key) + "\"; there is: library"};
    }
  }
  std::error_code error;
  if (named != nullptr) {
    // Named by the operator: another one found by chance would be a surprise.
    if (std::filesystem::is_regular_file(named, error)) {
      return std::filesystem::canonical(named, error);
    }
    throw Missing(search, std::string("\n  ") + named);
  }
  for (const std::string& folder : folders) {
    for (const char* file : search.files) {
      std::string path = folder + "/" + file;
      // The real name: a library looks for its neighbours ($ORIGIN) from the name it is opened by.
      if (std::filesystem::is_regular_file(path, error)) {
        return std::filesystem::canonical(path, error);
      }
      looked_for += "\n  " + path;
    }
  }
  if (search.soname != nullptr) {
    // What the loader finds, it keeps; this is the same handle that OpenLibrary will get.
    if (dlopen(search.soname, RTLD_LAZY | RTLD_LOCAL) != nullptr) return search.soname;
    looked_for += std::string("\n  ") + search.soname + " in the system's folders";
  }
  throw Missing(search, looked_for);
}

void* OpenLibrary(const LibrarySearch& search, const std::string& file, bool deep) {
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | (deep ? kDeep : 0));
  if (library == nullptr) {
    throw Failure{LEADSMAN_UNAVAILABLE, std::string(search.product) +
                                            " is there but cannot be loaded: " + dlerror() + ". " +
                                            search.advice};
  }
  return library;
}

void* FindSymbol(void* library, const std::string& file, const char* name) {
  void* symbol = dlsym(library, name);
  if (symbol == nullptr) {
    throw Failure{LEADSMAN_UNAVAILABLE, file + " is too old or another library: it lacks " + name};
  }
  return symbol;
}

std::string VersionBeside(const std::string& file, const char* otherwise) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  for (const std::filesystem::path& place : {folder, folder.parent_path()}) {
    for (const char* name : {"version", "VERSION.txt"}) {
      std::ifstream in(place / name);
      std::string version;
      if (in >> version && version.size() < 64) return version;
    }
  }
  return otherwise;
}

}  // namespace leadsman_plugin
