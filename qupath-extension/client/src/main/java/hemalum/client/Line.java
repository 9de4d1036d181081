package hemalum.client;

import hemalum.v1.GetServerInfoRequest;
import hemalum.v1.NucleiGrpc;

/**
 * What every call on one connection needs.
 *
 * @param stub     for calls without a deadline
 * @param endpoint the server
 * @param client   our name, for its log
 * @param patience of this side
 */
record Line(NucleiGrpc.NucleiStub stub, Endpoint endpoint, String client, Patience patience) {

    GetServerInfoRequest question() {
        return GetServerInfoRequest.newBuilder().setApiVersion(NucleiClient.API_VERSION).setClient(client).build();
    }
}
