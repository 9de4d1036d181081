package qupath.fx.dialogs;

/** Signatures only: what the extension calls. */
public class Dialogs {
    public static void showErrorMessage(String a, String b) {
        throw new UnsupportedOperationException();
    }
    public static void showInfoNotification(String a, String b) {
        throw new UnsupportedOperationException();
    }
    public static String showInputDialog(String a, String b, String c) {
        throw new UnsupportedOperationException();
    }
    public static void showPlainMessage(String a, String b) {
        throw new UnsupportedOperationException();
    }
    public static void showWarningNotification(String a, String b) {
        throw new UnsupportedOperationException();
    }
    public static boolean showYesNoDialog(String a, String b) {
        throw new UnsupportedOperationException();
    }

    protected Dialogs() {}
}
