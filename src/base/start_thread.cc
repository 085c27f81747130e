#include "base/start_thread.h"

#include <pthread.h>

#include <system_error>
#include <utility>

#include "base/strings.h"

namespace leadsman {

Result<std::thread> StartThread(const std::string& name, std::function<void()> run) {
  try {
    std::thread thread(std::move(run));
    pthread_setname_np(thread.native_handle(), name.substr(0, 15).c_str());
    return thread;
  } catch (const std::system_error& e) {
    return ResourceExhaustedError(
        StrCat("the thread ", name, " cannot be started (", e.what(),
               "); raise the limit of processes (ulimit -u, or pids of the container)"));
  }
}

}  // namespace leadsman
