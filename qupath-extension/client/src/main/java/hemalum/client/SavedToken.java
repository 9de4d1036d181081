package hemalum.client;

/**
 * A token that was saved together with the address of its server; no other server gets it.
 *
 * @param address of the server, as a person typed it
 * @param secret  the token
 */
public record SavedToken(String address, String secret) {

    /** The token where {@code endpoint} is the server that it was saved for, else null. */
    public String to(Endpoint endpoint) {
        if (secret == null || secret.isBlank() || address == null || address.isBlank())
            return null;
        Endpoint own;
        try {
            own = Endpoint.parse(address);
        } catch (ServiceException e) {
            return null;
        }
        boolean same = own.host().equalsIgnoreCase(endpoint.host()) && own.port() == endpoint.port()
                && own.tls() == endpoint.tls();
        return same ? secret : null;
    }

    /** Never with the secret. */
    @Override
    public String toString() {
        return "token for " + address;
    }
}
