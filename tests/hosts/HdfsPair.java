import com.sun.net.httpserver.HttpServer;
import java.io.File;
import java.net.InetSocketAddress;
import java.security.PrivilegedExceptionAction;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenIdentifier;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.token.Token;

/**
 * Two NameNodes and a DataNode. HdfsPair FOLDER CONTROL_PORT HTTP_PORT HTTP_PORT; told by GET on the control port:
 * /ready, /active/0 or 1, /secure/True or False, /cancel/TOKEN.
 */
public class HdfsPair {
  public static void main(String[] words) throws Exception {
    Configuration conf = new HdfsConfiguration();
    conf.set("hdfs.minidfs.basedir", new File(words[0]).getAbsolutePath());
    conf.setBoolean("dfs.namenode.delegation.token.always-use", true);
    // What /secure/True would else ask for, and is not there: a ticket of the servers' own, and ports of root.
    conf.setBoolean("ipc.client.fallback-to-simple-auth-allowed", true);
    conf.setBoolean("ignore.secure.ports.for.testing", true);
    MiniDFSNNTopology.NSConf pair = new MiniDFSNNTopology.NSConf("pair");
    for (int i = 0; i < 2; ++i) {
      pair.addNN(new MiniDFSNNTopology.NNConf("nn" + i).setHttpPort(Integer.parseInt(words[2 + i])));
    }
    MiniDFSCluster cluster = new MiniDFSCluster.Builder(conf)
        .nnTopology(new MiniDFSNNTopology().addNameservice(pair)).numDataNodes(1).build();
    HttpServer control = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[1])), 0);
    control.createContext("/", exchange -> {
      String[] path = exchange.getRequestURI().getPath().split("/", 3);
      byte[] said = new byte[0];
      int status = 200;
      try {
        tell(cluster, conf, path[1], path.length > 2 ? path[2] : "");
      } catch (Exception e) {
        said = e.toString().getBytes();
        status = 500;
      }
      exchange.sendResponseHeaders(status, said.length == 0 ? -1 : said.length);
      if (said.length > 0) exchange.getResponseBody().write(said);
      exchange.close();
    });
    control.start();
  }

  private static int active = -1;

  private static void tell(MiniDFSCluster cluster, Configuration conf, String what, String which) throws Exception {
    switch (what) {
      case "active" -> {
        if (active == Integer.parseInt(which)) return;
        if (active >= 0) cluster.transitionToStandby(active);
        active = Integer.parseInt(which);
        cluster.transitionToActive(active);
        cluster.waitActive();
      }
      case "secure" -> {
        Configuration other = new Configuration(conf);
        other.set("hadoop.security.authentication", which.equals("True") ? "kerberos" : "simple");
        UserGroupInformation.setConfiguration(other);
      }
      case "cancel" -> {
        Token<DelegationTokenIdentifier> token = new Token<>();
        token.decodeFromUrlString(which);
        DelegationTokenIdentifier id = token.decodeIdentifier();
        id.getUser().doAs((PrivilegedExceptionAction<Void>) () -> {
          cluster.getNameNodeRpc(active).cancelDelegationToken(token);
          return null;
        });
      }
      default -> {}
    }
  }
}
