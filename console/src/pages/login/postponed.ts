const KEY = "aicp.password.postponed";

/** Whether this user has put off the change of a first password in this browser session. */
export const isPostponed = (user: string): boolean => sessionStorage.getItem(KEY) === user;

/** Remembers that the change is put off, until the browser's tab is closed. */
export const postpone = (user: string): void => sessionStorage.setItem(KEY, user);
