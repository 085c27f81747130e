// Real workers, misbehaving in every way that somebody's model will find some day.
#include "backend/python/python_backend.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "backend/testing/test_python.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman::python {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

using Options = std::map<std::string, std::string>;

const std::string kTestData = SourceDir() + "/src/backend/testdata/python";

class PythonBackendTest : public testing::Test {
 protected:
  void SetUp() override { host_ = PythonHost::Create(SystemClock(), TestPythonOptions()); }

  Result<std::unique_ptr<LoadedModel>> Load(const std::string& file, Options options = {},
                                            const std::string& directory = kTestData,
                                            const std::string& format = "python",
                                            int instances = 1) {
    LoadSpec spec{.model_name = "m",
                  .version = 1,
                  .directory = directory,
                  .model_file = file,
                  .instances = instances,
                  .options = std::move(options)};
    return host_->Load(format, spec);
  }
  /// Loads naughty.py, and keeps it.
  void Start(Options options = {}, int instances = 1) {
    Result<std::unique_ptr<LoadedModel>> model =
        Load("naughty.py", std::move(options), kTestData, "python", instances);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(model).value();
  }
  Result<std::string> Do(const std::string& what, Duration timeout = 30s) {
    auto context = std::move(model_->NewContext()).value();
    Tensor tensor;
    tensor.Reset("what", DataType::kBytes);
    tensor.shape() = {1};
    tensor.PushString(what);
    TensorView view = tensor.View();
    auto outputs = context->ExecuteBefore(SystemClock().SteadyNow() + timeout, {&view, 1});
    if (!outputs.ok()) return outputs.status();
    return std::string((*outputs)[0].as<std::string_view>()[0]);
  }
  std::string Said(const std::string& what, Duration timeout = 30s) {
    Result<std::string> said = Do(what, timeout);
    EXPECT_TRUE(said.ok()) << what << ": " << said.status();
    return std::move(said).value_or("");
  }
  Status Refused(const std::string& what, Duration timeout = 30s) {
    Result<std::string> said = Do(what, timeout);
    EXPECT_FALSE(said.ok()) << what << " gave " << *said;
    return said.status();
  }
  uint64_t Restarts(RestartReason reason) const {
    PythonVitals vitals = host_->GetVitals();
    return vitals.models.empty() ? 0 : vitals.models[0].restarts[static_cast<size_t>(reason)];
  }
  /// Bounded; for what another process or thread does in its own time.
  template <typename F>
  static bool Until(F condition) {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }
  static bool Exists(const std::string& pid) {
    struct stat unused {};
    return stat(StrCat("/proc/", pid).c_str(), &unused) == 0;
  }

  std::shared_ptr<PythonHost> host_;
  std::unique_ptr<LoadedModel> model_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(PythonBackendTest, AWorkerThatEndsCostsOnlyTheCallItWorkedOn) {
  Start();
  const std::vector<std::pair<std::string, std::string>> ways = {{"kill", "was killed by SIGKILL"},
                                                                 {"segv", "was killed by SIGSEGV"},
                                                                 {"exit", "ended with status 3"}};
  std::string pid = Said("pid");
  for (const auto& [way, words] : ways) {
    Status status = Refused(way);
    EXPECT_EQ(status.code(), StatusCode::kInternal);  // which nobody sends again by itself
    EXPECT_HAS(std::string(status.message()), words);
    std::string next = Said("pid");
    EXPECT_NE(next, pid);
    pid = next;
  }
  EXPECT_EQ(Restarts(RestartReason::kCrash), 3u);
}

TEST_F(PythonBackendTest, OthersServeWhileAWorkerIsReplaced) {
  Start({{"option.sleep", "0.5"}}, 2);
  EXPECT_EQ(host_->GetVitals().versions[0].pool.ready, 2);
  EXPECT_FALSE(Do("kill").ok());
  // Long before the replacement has loaded.
  EXPECT_EQ(Said("echo still here", 400ms), "still here");
  // Its next start is under way, or due.
  const std::string note = model_->note();
  EXPECT_TRUE(
      note.find("of 2 is starting (before: was killed by SIGKILL)") != std::string::npos ||
      note.find("of 2 has ended 1 time (before: was killed by SIGKILL), its next start is in ") !=
          std::string::npos)
      << note;
  EXPECT_TRUE(Until([&] { return host_->GetVitals().versions[0].pool.ready == 2; }));
  EXPECT_EQ(model_->note(), "");
}

TEST_F(PythonBackendTest, AHangEndsAtTheDeadlineAndTheWorkerIsReplaced) {
  Start({{"hang_timeout", "300ms"}});
  std::string pid = Said("pid");
  EXPECT_EQ(Refused("hang", 50ms).code(), StatusCode::kDeadlineExceeded);
  EXPECT_NE(Said("pid"), pid);
  EXPECT_EQ(Restarts(RestartReason::kHang), 1u);
}

TEST_F(PythonBackendTest, AServerThatGoesEndsWhatIsStillAtWork) {
  Start({{"hang_timeout", "60s"}});
  const std::string pid = Said("pid");
  Status hung;
  std::thread caller([&] { hung = Refused("hang"); });
  // At work from the moment when the next one finds no worker.
  EXPECT_TRUE(Until([&] { return !Do("pid", 20ms).ok(); }));
  EXPECT_EQ(host_->EndCalls(), std::vector<std::string>{"m:1"});
  caller.join();
  EXPECT_EQ(hung.code(), StatusCode::kUnavailable) << hung;
  EXPECT_HAS(std::string(hung.message()), "was ended while it worked on this request");
  EXPECT_EQ(Refused("pid").code(), StatusCode::kUnavailable);
  EXPECT_TRUE(host_->EndCalls().empty());
  EXPECT_TRUE(Until([&] { return !Exists(pid); }));
}

TEST_F(PythonBackendTest, ALateAnswerIsDroppedAndTheWorkerGoesOn) {
  Start();
  std::string pid = Said("pid");
  EXPECT_EQ(Refused("slow 0.4", 50ms).code(), StatusCode::kDeadlineExceeded);
  Status busy = Refused("pid", 20ms);
  EXPECT_EQ(busy.code(), StatusCode::kDeadlineExceeded) << "it waited as long as it might";
  EXPECT_HAS(std::string(busy.message()), "still works on a request whose deadline has passed");
  EXPECT_EQ(Said("pid"), pid);
  EXPECT_EQ(Restarts(RestartReason::kHang), 0u);
  // A region that is asked for by a call that nobody waits for is refused, and that is all.
  EXPECT_EQ(Refused("slow 0.2", 20ms).code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Said("pid"), pid);
}

TEST_F(PythonBackendTest, WhatTheModelRaisesIsToldWithoutTheStack) {
  Start();
  std::string pid = Said("pid");
  Status wrong = Refused("raise");
  EXPECT_EQ(wrong, InternalError("RuntimeError: it went wrong"));
  EXPECT_HAS(std::string(Refused("connect").message()), "a database of the model's own");
  EXPECT_EQ(Refused("refuse"), InvalidArgumentError("ValueError: no such thing"));
  EXPECT_EQ(Refused("sys_exit"), InternalError("SystemExit: 4"));
  EXPECT_HAS(std::string(Refused("recurse").message()), "RecursionError");
  EXPECT_HAS(std::string(Refused("no_such_function").message()), "KeyError: 'do_no_such_function'");
  EXPECT_EQ(Said("pid"), pid);
}

TEST_F(PythonBackendTest, AnAnswerThatIsNotWhatTheSignatureSaysIsRefusedByName) {
  Start();
  std::string pid = Said("pid");
  const std::vector<std::pair<std::string, std::string>> ways = {
      {"none", "gave None for the output said"},
      {"shape", "output said has the shape [1, 2], its signature says [-1]"},
      {"numbers", "output said holds FP64, its signature says BYTES"},
      {"objects", "output said holds Python objects (dict)"},
      {"other_name", "gave no output said; it gave told"}};
  for (const auto& [way, words] : ways) {
    Status status = Refused(way);
    EXPECT_EQ(status.code(), StatusCode::kInternal) << status;
    EXPECT_HAS(std::string(status.message()), words);
  }
  EXPECT_EQ(Said("pid"), pid);
}

TEST_F(PythonBackendTest, WhatItPrintsDoesNotDisturbTheChannel) {
  Start();
  std::string pid = Said("pid");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Said("print"), "printed");
  EXPECT_EQ(Said("pid"), pid);
  EXPECT_TRUE(Until([&] { return host_->GetVitals().models[0].log_lines_dropped > 1000; }));
}

TEST_F(PythonBackendTest, AForkAnswersNothingInItsParentsPlace) {
  Start();
  std::string pid = Said("pid");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Said("fork"), pid);
    EXPECT_EQ(Said(StrCat("echo ", i)), std::to_string(i));
  }
}

TEST_F(PythonBackendTest, NothingThatAWorkerStartedOutlivesIt) {
  Start();
  std::string pid = Said("pid");
  std::string orphan = Said("daemon");
  EXPECT_TRUE(Exists(orphan));
  EXPECT_FALSE(Do("kill").ok());
  EXPECT_TRUE(Until([&] { return !Exists(orphan); }));
  EXPECT_FALSE(Exists(pid));
  orphan = Said("daemon");
  pid = Said("pid");
  model_.reset();
  EXPECT_FALSE(Exists(pid));
  EXPECT_FALSE(Exists(orphan));
}

TEST_F(PythonBackendTest, AWorkerThatClosesItsDescriptorsIsReplaced) {
  Start();
  Status status = Refused("close");
  EXPECT_EQ(status.code(), StatusCode::kInternal) << status;
  EXPECT_EQ(Said("echo again"), "again");
}

TEST_F(PythonBackendTest, AnExceptionInACallCostsTheWorkerButNotItsPlace) {
  Start();
  std::string pid = Said("pid");
  auto context = std::move(model_->NewContext()).value();
  Tensor tensor;
  tensor.Reset("what", DataType::kBytes);
  tensor.shape() = {1};
  tensor.PushString("echo");
  // The message about an input of this name is longer than a string can be.
  std::vector<TensorView> views = {tensor.View(), tensor.View()};
  views[1].name = std::string_view("x", std::string().max_size());
  EXPECT_THROW((void)context->ExecuteBefore(SystemClock().SteadyNow() + 30s, views),
               std::length_error);
  EXPECT_NE(Said("pid"), pid);
}

TEST_F(PythonBackendTest, AWorkerThatEatsMemoryIsEnded) {
  Start({{"max_memory", "120MiB"}});
  Status status = Refused("memory 300 20");
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  EXPECT_HAS(std::string(status.message()), "max_memory");
  EXPECT_EQ(Said("echo again"), "again");
  EXPECT_EQ(Restarts(RestartReason::kMemory), 1u);
  // More than the kernel gives it: an error of that call, and no more.
  EXPECT_EQ(Refused("memory 100000").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Said("echo again"), "again");
}

TEST_F(PythonBackendTest, TellsWhatItsWorkersTakeInMemory) {
  Start({{"max_memory", "1GiB"}}, 2);
  const int64_t at_first = model_->outside_memory_bytes();
  EXPECT_GT(at_first, 2 * (int64_t{4} << 20));  // an interpreter each, from the first moment on
  Said("memory 150");
  EXPECT_TRUE(
      Until([&] { return model_->outside_memory_bytes() >= at_first + (int64_t{140} << 20); }));
  EXPECT_LT(model_->outside_memory_bytes(), at_first + (int64_t{300} << 20));
}

TEST_F(PythonBackendTest, ALeakIsReplacedBetweenCallsAndNoCallFails) {
  Start({{"max_memory", "120MiB"}});
  std::string pid = Said("pid");
  EXPECT_EQ(Said("memory 95"), pid);
  EXPECT_TRUE(Until([&] { return Said("pid") != pid; }));
  EXPECT_EQ(Restarts(RestartReason::kMemory), 1u);
}

TEST_F(PythonBackendTest, AWorkerThatEndsBeforeItsSuccessorIsThereIsCountedOnce) {
  Start({{"max_memory", "120MiB"}, {"option.sleep", "0.5"}});
  const auto pid = static_cast<pid_t>(std::stoi(Said("pid")));
  std::thread call([&] { EXPECT_FALSE(Do("memory 95 20").ok()); });
  EXPECT_TRUE(Until([&] { return Restarts(RestartReason::kMemory) == 1; }));
  EXPECT_EQ(kill(pid, SIGKILL), 0);
  call.join();
  EXPECT_TRUE(Until([&] { return Do("echo").ok(); }));
  EXPECT_EQ(Restarts(RestartReason::kMemory), 1u);
  EXPECT_EQ(Restarts(RestartReason::kCrash), 0u);
}

TEST_F(PythonBackendTest, AWorkerIsReplacedAfterSoManyCalls) {
  Start({{"max_requests", "5"}});
  std::string pid = Said("pid");
  EXPECT_TRUE(Until([&] { return Said("pid") != pid; }));
  EXPECT_GE(Restarts(RestartReason::kMaxRequests), 1u);
  EXPECT_EQ(Restarts(RestartReason::kCrash), 0u);
}

TEST_F(PythonBackendTest, AWorkerThatCannotStartAgainIsPutOffAndTheStatusSaysWhy) {
  TempDir dir;
  const std::string file = dir.file("exit");
  Start({{"option.exit_file", file}});
  std::ofstream(file) << "now";
  EXPECT_FALSE(Do("kill").ok());
  EXPECT_TRUE(Until([&] {
    return host_->GetVitals().versions[0].pool.note.find("2 times in a row") != std::string::npos;
  }));
  Status status = Refused("echo", 10s);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_HAS(std::string(status.message()), "ended with status 9 before it had loaded the model");
  ASSERT_EQ(unlink(file.c_str()), 0);
  EXPECT_TRUE(Until([&] { return Do("echo").ok(); }));
}

TEST_F(PythonBackendTest, OptionsAndEnvironmentReachTheScript) {
  setenv("LEADSMAN_TEST_SECRET", "hidden", 1);
  setenv("LEADSMAN_TEST_PASSED", "seen", 1);
  host_ = PythonHost::Create(SystemClock(), TestPythonOptions());
  Start({{"option.colour", "blue"},
         {"env.LEADSMAN_TEST_SET", "here"},
         {"pass_env", "LEADSMAN_TEST_PASSED, NOTHING"}});
  EXPECT_EQ(Said("option colour"), "blue");
  EXPECT_EQ(Said("option LEADSMAN_TEST_SET"), "here");
  EXPECT_EQ(Said("option LEADSMAN_TEST_PASSED"), "seen");
  EXPECT_EQ(Said("option LEADSMAN_TEST_SECRET"), "(not set)");
  EXPECT_EQ(Said("option OMP_NUM_THREADS"), "1");
}

TEST_F(PythonBackendTest, RegionsGrowUpToTheirLimit) {
  Start({{"max_tensor_bytes", "8MiB"}});
  std::string pid = Said("pid");
  EXPECT_EQ(Said("long 5000000").size(), 5'000'000u);
  EXPECT_EQ(Said(StrCat("echo ", std::string(6'000'000, 'y'))).size(), 6'000'000u);
  Status answer = Refused("long 20000000");
  EXPECT_EQ(answer.code(), StatusCode::kResourceExhausted);
  EXPECT_HAS(std::string(answer.message()), "max_tensor_bytes");
  Status request = Refused(StrCat("echo ", std::string(20'000'000, 'y')));
  EXPECT_EQ(request.code(), StatusCode::kInvalidArgument);
  EXPECT_HAS(std::string(request.message()), "max_tensor_bytes");
  EXPECT_EQ(Said("pid"), pid);
}

TEST_F(PythonBackendTest, EveryTypeGoesThereAndBack) {
  Result<std::unique_ptr<LoadedModel>> model = Load("all_types.py");
  ASSERT_TRUE(model.ok()) << model.status();
  auto context = std::move((*model)->NewContext()).value();
  for (int64_t rows : {1, 3, 0, 3}) {
    for (bool more : {false, true}) {
      std::vector<Tensor> tensors;
      for (const TensorSpec& spec : (*model)->signature().inputs) {
        if (spec.optional && !more) continue;
        Tensor& tensor = tensors.emplace_back();
        tensor.Reset(spec.name, spec.type);
        tensor.shape() = spec.shape;
        tensor.shape()[0] = rows;
        const int64_t count = *tensor.shape().ElementCount();
        for (int64_t i = 0; i < count; ++i) {
          if (spec.type == DataType::kBytes) {
            tensor.PushString(spec.name == "bytes" ? std::string("\xff\x00z", 3)
                                                   : StrCat("für ", i));
          } else if (spec.type == DataType::kBool) {
            tensor.Push(static_cast<uint8_t>(i % 2));
          } else {
            auto* bytes = static_cast<char*>(tensor.Extend(1));
            std::fill_n(bytes, ElementSize(spec.type), static_cast<char>(1 + i));
          }
        }
      }
      std::vector<TensorView> views;
      for (const Tensor& tensor : tensors) views.push_back(tensor.View());
      auto outputs = context->Execute(views);
      ASSERT_TRUE(outputs.ok()) << outputs.status();
      for (size_t i = 0; i < views.size(); ++i) {
        const TensorView& out = (*outputs)[i];
        EXPECT_EQ(out.name, views[i].name);
        ASSERT_EQ(out.element_count, views[i].element_count) << out.name;
        if (out.type == DataType::kBytes) {
          for (size_t e = 0; e < static_cast<size_t>(out.element_count); ++e) {
            EXPECT_EQ(out.as<std::string_view>()[e], views[i].as<std::string_view>()[e]);
          }
        } else {
          EXPECT_EQ(std::string_view(static_cast<const char*>(out.data), out.byte_size()),
                    std::string_view(static_cast<const char*>(views[i].data), views[i].byte_size()))
              << out.name;
        }
      }
    }
  }
}

TEST_F(PythonBackendTest, AStringThatIsNoTextIsRefusedByTheInputsName) {
  Start();
  Status status = Refused("echo \xff");
  EXPECT_EQ(status, InvalidArgumentError("the input what has a string that is not UTF-8"));
}

TEST_F(PythonBackendTest, ManyThreadsGetTheirOwnAnswers) {
  Start({}, 3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        std::string text = StrCat(t, ".", i);
        Result<std::string> said = Do("echo " + text);
        if (!said.ok() || *said != text) ++wrong;
        if (t == 0 && i % 25 == 24) (void)Do("kill");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

/// A file of the test's own in a folder of the test's own.
struct Written {
  Written(const std::string& name, const std::string& text) : file(name) {
    std::ofstream(dir.file(name)) << text;
  }
  TempDir dir;
  std::string file;
};

TEST_F(PythonBackendTest, WhatCannotBeLoadedSaysWhyAndWhatToDo) {
  struct Case {
    std::string name, text, format;
    Options options;
    StatusCode code;
    std::string words;
  };
  const std::string head = "inputs = [('x', 'FP32', [-1])]\noutputs = [('y', 'FP32', [-1])]\n";
  const std::string predict = "def predict(state, inputs): return inputs['x']\n";
  const std::vector<Case> cases = {
      {"m.py", "def (", "python", {}, StatusCode::kInvalidArgument, "m.py line 1"},
      {"m.py",
       head,
       "python",
       {},
       StatusCode::kInvalidArgument,
       "has no function predict(state, inputs)"},
      {"m.py", predict, "python", {}, StatusCode::kInvalidArgument, "add the list inputs"},
      {"m.py",
       head + "def predict(x): pass\n",
       "python",
       {},
       StatusCode::kInvalidArgument,
       "predict must be a function predict(state, inputs)"},
      {"m.py",
       "inputs = [('x', 'BF16', [-1])]\noutputs = inputs\n" + predict,
       "python",
       {},
       StatusCode::kUnimplemented,
       "BF16"},
      {"m.py",
       "inputs = ['x']\noutputs = inputs\n" + predict,
       "python",
       {},
       StatusCode::kInvalidArgument,
       "an entry is (name, type, shape)"},
      {"m.py",
       "import no_such_package_at_all\n",
       "python",
       {},
       StatusCode::kFailedPrecondition,
       "no module no_such_package_at_all: install it into the interpreter"},
      {"m.py",
       head + predict + "def load(d, o): raise RuntimeError('no weights')\n",
       "python",
       {},
       StatusCode::kInvalidArgument,
       "RuntimeError: no weights"},
      {"m.py",
       head + predict +
           "def load(d, o):\n  import io, pickle\n  return pickle._load(io.BytesIO(b'no'))\n",
       "python",
       {},
       StatusCode::kInvalidArgument,
       "load() of m.py: what it unpickles is not a readable pickle or joblib file"},
      {"m.py",
       head + predict + "def load(d, o): return {}[110]\n",
       "python",
       {},
       StatusCode::kInvalidArgument,
       "KeyError: 110"},
      {"m.py",
       head + predict + "def load(d, o):\n  import os\n  print('out of luck')\n  os._exit(5)\n",
       "python",
       {},
       StatusCode::kInternal,
       "ended with status 5 before it had loaded the model; it last printed: out of luck"},
      {"m.py",
       head + predict + "def load(d, o):\n  import time\n  time.sleep(100)\n",
       "python",
       {{"load_timeout", "1s"}},
       StatusCode::kDeadlineExceeded,
       "load_timeout"},
      {"m.pkl",
       "no pickle at all",
       "sklearn",
       {},
       StatusCode::kInvalidArgument,
       "m.pkl is not a readable pickle or joblib file: it is damaged, cut short"},
      {"m.pkl",
       "cno_such_module\nThing\n.",
       "sklearn",
       {},
       StatusCode::kFailedPrecondition,
       "if it is a module of your own, put it beside the model"},
      {"m.pkl",
       "c__main__\nThing\n.",
       "sklearn",
       {},
       StatusCode::kFailedPrecondition,
       "needs a class that is not there"},
      {"m.pkl", "(dp0\n.", "sklearn", {}, StatusCode::kInvalidArgument, "m.pkl holds a dict"},
      {"m.py",
       "",
       "python",
       {{"colour", "blue"}},
       StatusCode::kInvalidArgument,
       "runtime_options.colour"},
      {"m.py",
       "",
       "python",
       {{"instances", "2"}},
       StatusCode::kInvalidArgument,
       "beside runtime_options"},
      {"m.py",
       "",
       "python",
       {{"python", "/nowhere/python"}},
       StatusCode::kFailedPrecondition,
       "backends.python.interpreter"},
      {"m.py",
       "",
       "python",
       {{"python", "no-such-python"}},
       StatusCode::kFailedPrecondition,
       "in PATH"},
  };
  for (const Case& c : cases) {
    Written written(c.name, c.text);
    Result<std::unique_ptr<LoadedModel>> model =
        Load(c.name, c.options, written.dir.path().string(), c.format);
    ASSERT_FALSE(model.ok()) << c.words;
    EXPECT_EQ(model.status().code(), c.code) << model.status();
    EXPECT_HAS(std::string(model.status().message()), c.words);
  }
}

TEST_F(PythonBackendTest, AnInterpreterWithoutNumpySaysSo) {
  TempDir dir;
  const std::string interpreter = dir.file("python-without-packages");
  std::ofstream(interpreter) << "#!/bin/sh\nexec " << TestPythonOptions().interpreter
                             << " -S \"$@\"\n";
  ASSERT_EQ(chmod(interpreter.c_str(), 0755), 0);
  Result<std::unique_ptr<LoadedModel>> model = Load("naughty.py", {{"python", interpreter}});
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kFailedPrecondition) << model.status();
  EXPECT_HAS(std::string(model.status().message()), "-m pip install numpy");
}

TEST_F(PythonBackendTest, AServerWithoutTheWorkerSaysWhereItLooked) {
  PythonOptions options = TestPythonOptions();
  options.plugin_dirs = {"/nowhere"};
  host_ = PythonHost::Create(SystemClock(), options);
  Result<std::unique_ptr<LoadedModel>> model = Load("naughty.py");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_HAS(std::string(model.status().message()), "/nowhere");
}

TEST_F(PythonBackendTest, ALoadThatNobodyWaitsForEndsEarly) {
  std::atomic<bool> cancel{false};
  std::thread later([&] {
    Until([&] { return !host_->GetVitals().models.empty(); });
    cancel = true;
  });
  LoadSpec spec{.model_name = "m",
                .version = 1,
                .directory = kTestData,
                .model_file = "naughty.py",
                .options = {{"option.sleep", "1000"}},
                .cancel = &cancel};
  Result<std::unique_ptr<LoadedModel>> model = host_->Load("python", spec);
  later.join();
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace leadsman::python
